"""A broadcast from a plain bot: the same at-most-once record, and no exception for a database failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from dbcore import integration
from dbcore.broadcasts import broadcasts, leases
from dbcore.broadcasts.broadcasts import BroadcastStatus
from dbcore.broadcasts.leases import DeliveryStatus
from dbcore.failures import FailureKind
from dbcore.guard.engine import GuardedEngine
from dbcore.integration import BroadcastOutcome, bot_safe_broadcast
from dbcore.outcomes import OutcomeStatus, RejectionReason
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from tests.dbcore.conftest import Sql
from tests.harness.servers import running_postgres

PEOPLE = range(1001, 1051)
TEXT = {"text": "hi"}


@pytest.fixture
def bot(
    engine: GuardedEngine, database_url: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    sql("INSERT INTO users (telegram_id, first_name) SELECT n, 'P' FROM generate_series(1001, 1050) AS n")
    yield
    integration.close()


@pytest.fixture
def own_postgres(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    """With fsync: killed, it has lost nothing."""
    with running_postgres(servers_folder) as server:
        yield server


class Outbox:
    """Where messages go. `fates` says what becomes of some of them; an exception is raised."""

    def __init__(self, fates: dict[int, DeliveryStatus | BaseException] | None = None) -> None:
        self.sent: Counter[int] = Counter()
        self.fates = fates or {}

    def __call__(self, telegram_id: int) -> DeliveryStatus | None:
        self.sent[telegram_id] += 1
        fate = self.fates.get(telegram_id)
        if isinstance(fate, BaseException):
            raise fate
        return fate


def counts(outcome: BroadcastOutcome) -> tuple[int, int, int, int]:
    assert outcome.broadcast is not None
    broadcast = outcome.broadcast
    return broadcast.sent, broadcast.blocked, broadcast.failed, broadcast.unknown


@pytest.mark.usefixtures("bot")
def test_everybody_gets_it_once_and_the_same_key_sends_nothing_more(sql: Sql) -> None:
    outbox = Outbox({1003: DeliveryStatus.BLOCKED, 1004: DeliveryStatus.FAILED, 1005: TimeoutError()})
    outcome = bot_safe_broadcast(outbox, key="b", payload=TEXT)
    assert outcome.status is OutcomeStatus.APPLIED
    assert counts(outcome) == (47, 1, 1, 1)
    assert outcome.broadcast is not None
    assert outcome.broadcast.by_program  # so that no worker sends it too
    again = bot_safe_broadcast(outbox, key="b", payload=TEXT)
    assert (again.status, counts(again)) == (OutcomeStatus.REPLAYED, (47, 1, 1, 1))
    assert outbox.sent == Counter(PEOPLE)
    assert sql("SELECT telegram_id FROM users WHERE status = 'blocked'") == [(1003,)]
    other = bot_safe_broadcast(outbox, key="b", payload={"text": "other"})
    assert (other.status, other.reason) == (OutcomeStatus.REJECTED, RejectionReason.KEY_REUSED)


@pytest.mark.usefixtures("bot")
def test_interrupted_it_goes_on_with_the_same_key_where_it_stood() -> None:
    outbox = Outbox({1030: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        bot_safe_broadcast(outbox, key="b", payload=TEXT)
    outbox.fates = {}
    outcome = bot_safe_broadcast(outbox, key="b", payload=TEXT)
    assert counts(outcome) == (49, 0, 0, 1)
    assert outbox.sent == Counter(PEOPLE)


@pytest.mark.usefixtures("bot")
def test_whom_a_program_that_died_was_sending_to_are_unknown_and_not_sent_to(engine: GuardedEngine) -> None:
    made = broadcasts.create(engine, key="b", payload=TEXT, segment={}, actor="bot")
    broadcasts.begin(engine, made.id)
    dead = leases.lease(engine, made.id, 5, run=None, limit=20, seconds=0)
    outbox = Outbox()
    outcome = bot_safe_broadcast(outbox, key="b", payload=TEXT)
    assert counts(outcome) == (30, 0, 0, 20)
    assert outcome.broadcast is not None
    assert outcome.broadcast.status is BroadcastStatus.FINISHED
    assert outbox.sent == Counter(set(PEOPLE) - {each.telegram_id for each in dead.recipients})


@pytest.mark.usefixtures("bot")
def test_what_another_program_holds_is_left_to_it(engine: GuardedEngine) -> None:
    made = broadcasts.create(engine, key="b", payload=TEXT, segment={}, actor="bot")
    broadcasts.begin(engine, made.id)
    leases.lease(engine, made.id, 5, run=None, limit=20, seconds=60)
    outcome = bot_safe_broadcast(Outbox(), key="b", payload=TEXT)
    assert outcome.broadcast is not None
    assert (outcome.broadcast.sent, outcome.broadcast.left) == (30, 20)


@pytest.mark.usefixtures("bot")
def test_a_pause_is_heeded_within_a_chunk(engine: GuardedEngine) -> None:
    outbox = Outbox()

    def pausing(telegram_id: int) -> None:
        outbox(telegram_id)
        if telegram_id == 1010:
            found = broadcasts.find_by_key(engine, "b")
            assert found is not None
            broadcasts.pause(engine, found.id)

    outcome = bot_safe_broadcast(pausing, key="b", payload=TEXT)
    assert outcome.broadcast is not None
    assert outcome.broadcast.status is BroadcastStatus.PAUSED
    assert outcome.broadcast.sent == sum(outbox.sent.values()) == 20


def test_the_database_killed_in_the_middle_costs_nothing(
    own_postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", own_postgres.url)
    connection = psycopg2.connect(own_postgres.url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO users (telegram_id, first_name) SELECT n, 'P' FROM generate_series(1001, 1050) n"
        )
    connection.close()
    outbox = Outbox()

    def deadly(telegram_id: int) -> None:
        outbox(telegram_id)
        if telegram_id == 1025:
            own_postgres.kill()
            own_postgres.start()

    try:
        outcome = bot_safe_broadcast(deadly, key="b", payload=TEXT, segment={"telegram_ids": list(PEOPLE)})
    finally:
        integration.close()
    assert counts(outcome) == (50, 0, 0, 0)
    assert outbox.sent == Counter(PEOPLE)


def test_without_a_database_nothing_is_sent_and_nothing_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://ballast@127.0.0.1:{free_port()}/ballast")
    outbox = Outbox()
    outcome = bot_safe_broadcast(outbox, key="b", payload=TEXT)
    integration.close()
    assert (outcome.status, outcome.failure) == (OutcomeStatus.UNAVAILABLE, FailureKind.OUTAGE)
    assert not outbox.sent
