from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis

from dbcore import integration
from dbcore.failures import FailureKind
from dbcore.fleet import operate
from dbcore.fleet.budget import read_connections
from dbcore.integration import (
    bot_safe_adjust_balance,
    bot_safe_create_transaction,
    bot_safe_get_or_create_user,
)
from dbcore.outcomes import OutcomeStatus, RejectionReason
from dbcore.settings import SettingsError
from devstack.ports import free_port
from tests.dbcore.conftest import Sql, eventually


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
        operate.tell(client, "open", "test")
        eventually(lambda: bot_safe_get_or_create_user(1, "ann", "Ann").status is OutcomeStatus.UNAVAILABLE)
        operate.tell(client, "auto", "test")
        eventually(lambda: bot_safe_get_or_create_user(1, "ann", "Ann").status is OutcomeStatus.REPLAYED)


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
