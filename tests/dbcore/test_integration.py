from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import redis
from structlog.testing import capture_logs

from dbcore import integration
from dbcore.breaker import override
from dbcore.breaker.connection_budget import read_connections
from dbcore.failures import FailureKind
from dbcore.integration import (
    bot_safe_adjust_balance,
    bot_safe_broadcast,
    bot_safe_create_transaction,
    bot_safe_get_or_create_user,
)
from dbcore.ledger.balance_cache import BalanceCache
from dbcore.outcomes import Outcome, OutcomeStatus, RejectionReason
from dbcore.settings import SettingsError
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from devstack.proxy import FaultProxy
from tests.conformance.cases import EXPECTED, End, Place, example
from tests.dbcore.conftest import Sql, eventually
from tests.harness.bots_database import SCHEMA


@pytest.fixture
def bot(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    yield
    integration.close()


@pytest.fixture
def bot_without_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://ballast@127.0.0.1:{free_port()}/ballast")
    yield
    integration.close()


@pytest.mark.usefixtures("bot")
def test_a_bot_of_another_make_uses_the_same_ledger() -> None:
    made = bot_safe_get_or_create_user(1, "ann", "Ann")
    assert made.status is OutcomeStatus.APPLIED
    assert bot_safe_get_or_create_user(1, "ann", "Ann").status is OutcomeStatus.REPLAYED
    bot_safe_get_or_create_user(2, None, "Bob")
    credited = bot_safe_adjust_balance(1, 100, key="a", memo="bonus")
    assert (credited.status, credited.balance_after) == (OutcomeStatus.APPLIED, 100)
    sent = bot_safe_create_transaction(1, 2, 30, key="t")
    assert (sent.sender_balance, sent.recipient_balance) == (70, 30)
    assert bot_safe_create_transaction(1, 2, 30, key="t").status is OutcomeStatus.REPLAYED
    assert bot_safe_create_transaction(1, 2, 300, key="u").reason is RejectionReason.INSUFFICIENT_FUNDS


@pytest.mark.usefixtures("bot")
def test_with_redis_it_is_one_of_the_fleet(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("DB_CONNECTION_BUDGET", "2")
    assert bot_safe_get_or_create_user(1, "ann", "Ann").status is OutcomeStatus.APPLIED
    with redis.Redis.from_url(redis_url) as client:
        assert read_connections(client).possible == 2  # of the 8 that it would open by itself
        override.set_override(client, "open", "test")
        eventually(lambda: bot_safe_get_or_create_user(1, "ann", "Ann").status is OutcomeStatus.UNAVAILABLE)
        override.set_override(client, "auto", "test")
        eventually(lambda: bot_safe_get_or_create_user(1, "ann", "Ann").status is OutcomeStatus.REPLAYED)


@pytest.mark.usefixtures("bot")
def test_with_redis_what_it_sees_is_what_the_fleet_s_bot_knows_of_balances(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    with redis.Redis.from_url(redis_url) as client:
        balances = BalanceCache(client)

        def known() -> list[int | None]:
            return [last and last[0] for last in (balances.last(person, "CREDIT") for person in (1, 2))]

        bot_safe_get_or_create_user(1, "ann", "Ann")
        assert known() == [0, None]
        bot_safe_get_or_create_user(2, None, "Bob")
        bot_safe_adjust_balance(1, 100, key="a")
        assert known() == [100, 0]
        bot_safe_create_transaction(1, 2, 30, key="t")
        assert known() == [70, 30]
        bot_safe_adjust_balance(1, -500, key="b")  # refused
        assert known() == [70, 30]
        bot_safe_adjust_balance(1, 5, key="c")
        bot_safe_create_transaction(1, 2, 30, key="t")  # answers as then, and sees what is now
        assert known() == [75, 30]


@pytest.mark.usefixtures("bot")
def test_without_its_redis_it_answers_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    bot_safe_get_or_create_user(1, "ann", "Ann")
    assert bot_safe_adjust_balance(1, 100, key="a").balance_after == 100


@pytest.mark.usefixtures("bot_without_database")
def test_without_a_database_each_answers_unavailable_and_nothing_raises() -> None:
    for outcome in (
        bot_safe_get_or_create_user(1, None, "Ann"),
        bot_safe_adjust_balance(1, 5, key="a"),
        bot_safe_create_transaction(1, 2, 5, key="t"),
        bot_safe_create_transaction(1, 2, 5, key="t"),
    ):
        assert outcome.status is OutcomeStatus.UNAVAILABLE
        assert outcome.failure is FailureKind.OUTAGE
        assert outcome.retry_after_seconds is not None
        assert outcome.retry_after_seconds > 0


@dataclass(frozen=True)
class Function:
    """One of the four, called with a key of its own. statement -- a part of the SQL that it begins with."""

    statement: str
    call: Callable[[], Outcome]
    writes: bool = True


FUNCTIONS = {
    "get_or_create_user": Function(
        "users_account", lambda: bot_safe_get_or_create_user(3, None, "Cid"), writes=False
    ),
    "adjust_balance": Function("ledger_adjust", lambda: bot_safe_adjust_balance(1, 5, key="adjusted")),
    "create_transaction": Function(
        "ledger_transfer", lambda: bot_safe_create_transaction(1, 2, 5, key="transferred")
    ),
    "broadcast": Function(
        "INTO broadcasts", lambda: bot_safe_broadcast(lambda _: None, key="sent", payload={"text": "Hi"})
    ),
}


@pytest.fixture
def proxy(postgres_server: EmbeddedPostgres) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", postgres_server.port, login=postgres_server.login) as standing_between:
        yield standing_between


@pytest.fixture
def bot_behind_the_proxy(
    proxy: FaultProxy, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Ann with 100, and Bob."""
    monkeypatch.setenv("DATABASE_URL", proxy.url_of(database_url.rsplit("/", 1)[1]))
    bot_safe_get_or_create_user(1, None, "Ann")
    bot_safe_get_or_create_user(2, None, "Bob")
    bot_safe_adjust_balance(1, 100, key="opening")
    yield
    integration.close()


@pytest.mark.usefixtures("bot_behind_the_proxy")
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("kind", EXPECTED, ids=str)
def test_no_failure_of_the_database_raises_and_the_same_call_afterwards_is_applied_once(
    kind: FailureKind | None, name: str, proxy: FaultProxy, sql: Sql
) -> None:
    function, case = FUNCTIONS[name], example(kind)
    if case.place is Place.CONNECT:
        integration.close()
    proxy.add(case.about(function.statement).rule(None))
    failed = function.call()
    open_outcome = function.writes and case.expected.end is End.OUTCOME_UNKNOWN
    assert failed.status is (OutcomeStatus.UNKNOWN if open_outcome else OutcomeStatus.UNAVAILABLE)
    answered = FailureKind.DATA if case.expected.end is End.UNTOUCHED else kind
    lost_read = kind is FailureKind.UNKNOWN_OUTCOME and not function.writes
    assert failed.failure is (FailureKind.OUTAGE if lost_read else answered)
    assert failed.retry_after_seconds is not None
    proxy.clear()
    integration.close()  # as after the interval of its breaker
    done = {OutcomeStatus.APPLIED, OutcomeStatus.REPLAYED}
    assert function.call().status in done
    assert function.call().status is OutcomeStatus.REPLAYED
    counts = sql(
        "SELECT (SELECT count(*) FROM transfers WHERE status = 'applied'), (SELECT count(*) FROM broadcasts), "
        "(SELECT count(*) FROM users)"
    )
    ours = {"adjust_balance": (2, 0, 2), "create_transaction": (2, 0, 2), "broadcast": (1, 1, 2)}
    assert counts == [ours.get(name, (1, 0, 3))]


@pytest.mark.usefixtures("bot")
def test_a_schema_that_is_not_there_is_an_answer_too(sql: Sql) -> None:
    sql("ALTER TABLE transfers RENAME TO elsewhere")
    bot_safe_get_or_create_user(1, None, "Ann")
    outcome = bot_safe_adjust_balance(1, 5, key="a")
    assert (outcome.status, outcome.failure) == (OutcomeStatus.UNAVAILABLE, FailureKind.DATA)


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("telegram_id", [0, -1, "1", True, 2**63])
def test_arguments_that_make_no_sense_are_the_program_s_mistake(telegram_id: int) -> None:
    with pytest.raises(ValueError, match="Telegram user id"):
        bot_safe_get_or_create_user(telegram_id, None, "Ann")
    with pytest.raises(ValueError, match="Telegram user id"):
        bot_safe_create_transaction(1, telegram_id, 5, key="t")


@pytest.mark.usefixtures("bot")
def test_an_adjustment_needs_a_key_and_an_amount() -> None:
    with pytest.raises(ValueError, match="key"):
        bot_safe_adjust_balance(1, 5, key="")
    with pytest.raises(ValueError, match="amount"):
        bot_safe_adjust_balance(1, 0, key="a")


def test_a_missing_option_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    integration.close()
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        bot_safe_get_or_create_user(1, None, "Ann")


@pytest.mark.usefixtures("bot")
def test_a_forked_child_makes_connections_of_its_own() -> None:
    bot_safe_get_or_create_user(1, None, "Ann")
    child = os.fork()
    if child == 0:  # no pytest in the child: it leaves at once, with its answer as exit status
        try:
            os._exit(0 if bot_safe_adjust_balance(1, 5, key="child").status is OutcomeStatus.APPLIED else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert bot_safe_adjust_balance(1, 5, key="parent").balance_after == 10


def test_a_schema_that_was_forgotten_is_told_once_in_one_line(
    bots_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", bots_database_url)
    try:
        with capture_logs() as logged:
            outcomes = bot_safe_get_or_create_user(1, "ann", "Ann"), bot_safe_adjust_balance(1, 5, key="a")
        for outcome in outcomes:
            assert outcome.status is OutcomeStatus.UNAVAILABLE
            assert (outcome.failure, outcome.retry_after_seconds) == (FailureKind.CONFIGURATION, None)
        why = f"BALLAST_SCHEMA is not set, and Ballast's tables are in the schema {SCHEMA}: set BALLAST_SCHEMA={SCHEMA}"
        assert logged == [{"event": "ballast_not_configured", "log_level": "error", "why": why}]
        integration.close()
        monkeypatch.setenv("BALLAST_SCHEMA", SCHEMA)
        assert bot_safe_get_or_create_user(1, "ann", "Ann").status is OutcomeStatus.APPLIED
    finally:
        integration.close()
