"""The guarded engine against real failures of a real PostgreSQL."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from dbcore.breaker.local import BreakerLimits, BreakerReason, BreakerState, Interval
from dbcore.errors import DatabaseAway, OutcomeUnknown, Unavailable
from dbcore.failures import FailureKind
from dbcore.guard.engine import GuardedEngine
from dbcore.guard.liveness import LOOK_AFTER_IDLE_SECONDS
from dbcore.ledger import history, ledger, users
from dbcore.ledger.users import Profile, UserRef
from dbcore.outcomes import OutcomeStatus, TransferOutcome
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from tests.conformance.runner import with_url_options
from tests.conftest import MakeSettings
from tests.dbcore.conftest import MakeEngine, Person, Sql, eventually
from tests.harness.logins import as_role

LONG = {reason: Interval(600.0, 600.0) for reason in BreakerReason}
STAYS_OPEN = BreakerLimits(intervals=LONG)
ONE = {"db_pool_size": 1, "db_max_overflow": 0}


def touch(engine: GuardedEngine, **options: Any) -> Any:
    return engine.fetch_row("SELECT 1", name="touch", writes=False, **options)


def send(engine: GuardedEngine, sender: Profile, recipient: Profile, key: str) -> TransferOutcome:
    return ledger.transfer(
        engine,
        key=key,
        sender_telegram_id=sender.telegram_id,
        recipient_telegram_id=recipient.telegram_id,
        amount=10,
        memo="",
    )


@contextmanager
def row_locked(database_url: str, profile: Profile) -> Iterator[Any]:
    """Someone else's transaction holds the account, so that a transfer of theirs waits inside its statement."""
    holder = psycopg2.connect(database_url)
    with holder.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM accounts a JOIN users u ON u.id = a.user_id WHERE u.telegram_id = %s FOR UPDATE OF a",
            (profile.telegram_id,),
        )
    try:
        yield holder
    finally:
        holder.close()


def waiting_backends(sql: Sql) -> list[int]:
    return [
        pid
        for (pid,) in sql(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
    ]


def backends(sql: Sql, name: str) -> list[int]:
    return [
        pid
        for (pid,) in sql(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()",
            name,
        )
    ]


# --- the server dies


def test_a_killed_server_opens_the_breaker_and_is_back_after_its_restart(
    victim: EmbeddedPostgres, make_engine: MakeEngine
) -> None:
    engine = make_engine(victim.url)
    touch(engine)
    victim.kill()
    for _ in range(3):
        with pytest.raises(Unavailable) as away:
            touch(engine)
        assert away.value.kind is FailureKind.OUTAGE
        assert away.value.retry_after_seconds > 0
    snapshot = engine.snapshot()
    assert (snapshot.state, snapshot.reason) == (BreakerState.OPEN, BreakerReason.OUTAGE)
    assert snapshot.failed_operations == 3
    victim.start()

    def answers() -> bool:
        with suppress(DatabaseAway):
            touch(engine)
        return engine.snapshot().state is BreakerState.CLOSED

    eventually(answers)
    assert engine.snapshot().failed_operations == 0
    assert engine.snapshot().failed_operations_total >= 3


def test_no_statement_is_sent_while_the_breaker_is_open(
    victim: EmbeddedPostgres, make_engine: MakeEngine
) -> None:
    engine = make_engine(victim.url, limits=STAYS_OPEN, application_name="watched")
    victim.kill()
    for _ in range(2):
        with pytest.raises(Unavailable):
            touch(engine)
    assert engine.snapshot().state is BreakerState.OPEN
    victim.start()
    for _ in range(20):
        with pytest.raises(Unavailable):
            touch(engine)
    assert engine.snapshot().refused_total >= 20
    with psycopg2.connect(victim.url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'watched'")
        assert cursor.fetchone() == (0,)
    connection.close()


def test_a_restart_while_connections_lie_idle_is_no_outage(
    victim: EmbeddedPostgres, make_engine: MakeEngine
) -> None:
    engine = make_engine(victim.url)
    touch(engine)
    victim.stop()
    victim.start()
    touch(engine)
    snapshot = engine.snapshot()
    assert (snapshot.retries_total, snapshot.failures_by_kind) == (0, {})


# --- the server freezes


def test_the_deadline_holds_while_the_backend_is_frozen(
    engine: GuardedEngine, make_engine: MakeEngine, sql: Sql
) -> None:
    frozen = make_engine(settings=ONE, application_name="frozen")
    touch(frozen)
    (pid,) = backends(sql, "frozen")
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(Unavailable) as slow:
            touch(frozen, deadline_seconds=0.5)
        assert slow.value.kind is FailureKind.SLOW
        assert time.monotonic() - started < 10
        touch(frozen)  # on a new connection
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_write_cut_off_by_the_deadline_is_unknown_and_its_replay_tells(
    make_engine: MakeEngine, person: Person, database_url: str, sql: Sql
) -> None:
    engine = make_engine()
    ann, bob = person(100), person()
    with row_locked(database_url, ann) as holder:
        cut_off = make_engine(settings={"db_deadline_seconds": 0.5})
        with pytest.raises(OutcomeUnknown) as unknown:
            send(cut_off, ann, bob, "k")
        assert unknown.value.kind is FailureKind.SLOW
        assert cut_off.snapshot().unknown_outcomes_total == 1
        holder.rollback()
    eventually(lambda: not waiting_backends(sql))
    outcome = send(engine, ann, bob, "k")
    assert outcome.status in {OutcomeStatus.APPLIED, OutcomeStatus.REPLAYED}
    assert outcome.sender_balance == 90


def test_a_server_that_accepts_and_says_nothing_is_an_outage_within_the_connect_time_out(
    victim: EmbeddedPostgres, make_engine: MakeEngine
) -> None:
    assert victim.pid is not None
    engine = make_engine(victim.url, settings={"db_deadline_seconds": 30})
    os.kill(victim.pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable) as away:
            touch(engine)
    finally:
        os.kill(victim.pid, signal.SIGCONT)
    assert away.value.kind is FailureKind.OUTAGE


# --- a connection is lost


def test_a_connection_lost_inside_the_statement_is_retried_with_its_key_and_applied_once(
    engine: GuardedEngine, person: Person, database_url: str, sql: Sql
) -> None:
    ann, bob = person(100), person()
    with row_locked(database_url, ann) as holder, ThreadPoolExecutor(1) as thread:
        sending: Future[TransferOutcome] = thread.submit(send, engine, ann, bob, "k")
        (pid,) = eventually(lambda: waiting_backends(sql))
        sql("SELECT pg_terminate_backend(%s)", pid)
        eventually(lambda: pid not in waiting_backends(sql) and waiting_backends(sql))
        holder.rollback()
        outcome = sending.result(timeout=60)
    assert (outcome.status, outcome.sender_balance) == (OutcomeStatus.APPLIED, 90)
    snapshot = engine.snapshot()
    assert snapshot.unknown_outcomes_total == 1
    assert snapshot.failures_by_kind == {"unknown_outcome": 1}
    assert sql("SELECT count(*) FROM transfers WHERE idempotency_key = 'k'") == [(1,)]


def test_what_was_lost_inside_its_transaction_was_not_applied_and_runs_again(
    engine: GuardedEngine, person: Person, database_url: str, sql: Sql
) -> None:
    """It has no key, and needs none: what was not committed is rolled back."""
    ann = person(100)
    with row_locked(database_url, ann) as holder, ThreadPoolExecutor(1) as thread:
        changing = thread.submit(
            engine.call,
            lambda connection: connection.execute(text("UPDATE accounts SET floor = floor - 1")),
            name="once",
        )
        (pid,) = eventually(lambda: waiting_backends(sql))
        sql("SELECT pg_terminate_backend(%s)", pid)
        eventually(lambda: pid not in waiting_backends(sql) and waiting_backends(sql))
        holder.rollback()
        changing.result(timeout=60)
    assert sql("SELECT DISTINCT floor FROM accounts WHERE user_id IS NOT NULL") == [(-1,)]
    snapshot = engine.snapshot()
    assert (snapshot.failures_by_kind, snapshot.unknown_outcomes_total) == ({"outage": 1}, 0)


def test_a_connection_ended_while_idle_is_replaced_unnoticed(make_engine: MakeEngine, sql: Sql) -> None:
    engine = make_engine(application_name="idle")
    touch(engine)
    (pid,) = backends(sql, "idle")
    sql("SELECT pg_terminate_backend(%s)", pid)
    eventually(lambda: not backends(sql, "idle"))
    time.sleep(LOOK_AFTER_IDLE_SECONDS)
    touch(engine)
    assert engine.snapshot().failures_by_kind == {}


def test_a_connection_with_a_forgotten_transaction_is_thrown_away(make_engine: MakeEngine, sql: Sql) -> None:
    engine = make_engine(settings=ONE, application_name="forgetful")
    engine.fetch_row("BEGIN; SELECT 1", name="forget")
    touch(engine)
    assert sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'") == [(0,)]


# --- the server refuses


def test_a_wrong_password_is_not_tried_twice(make_engine: MakeEngine, servers_folder: Any) -> None:
    server = EmbeddedPostgres(servers_folder / "guarded", free_port(), durable=False)
    server.start()
    try:
        engine = make_engine(as_role(server.url, "ballast"))
        with pytest.raises(Unavailable) as refused:
            touch(engine)
    finally:
        server.stop()
    assert refused.value.kind is FailureKind.CONFIGURATION
    snapshot = engine.snapshot()
    assert (snapshot.retries_total, snapshot.state) == (0, BreakerState.OPEN)
    assert snapshot.reason is BreakerReason.CONFIGURATION


def test_a_database_that_is_not_there_is_configuration(make_engine: MakeEngine, database_url: str) -> None:
    engine = make_engine(database_url + "_not_there")
    with pytest.raises(Unavailable) as refused:
        touch(engine)
    assert refused.value.kind is FailureKind.CONFIGURATION


@pytest.mark.parametrize("via", ["driver", "sqlalchemy"])
@pytest.mark.parametrize("options", ["nonsense=1", "connect_timeout=soon", "sslmode=nonsense"])
def test_a_url_that_libpq_cannot_take_is_configuration(
    options: str, via: str, make_settings: MakeSettings, database_url: str
) -> None:
    """It is each job's answer until someone mends it: none of them may end as a dead letter."""
    engine = GuardedEngine(with_url_options(make_settings(database_url=database_url), options))

    def ask() -> Any:
        if via == "driver":
            return touch(engine)
        return engine.call(lambda connection: connection.execute(text("SELECT 1")), name="touch")

    with pytest.raises(Unavailable) as refused:
        ask()
    assert refused.value.kind is FailureKind.CONFIGURATION
    snapshot = engine.snapshot()
    assert (snapshot.retries_total, snapshot.reason) == (0, BreakerReason.CONFIGURATION)


def test_too_many_connections_are_saturation_and_back_off(
    make_engine: MakeEngine, sql: Sql, database_url: str
) -> None:
    role = "narrow_" + database_url.rsplit("_", 1)[1]
    sql(f"CREATE ROLE {role} LOGIN PASSWORD '{role}' CONNECTION LIMIT 1")
    url = as_role(database_url, role)
    waits: list[float] = []
    try:
        first = make_engine(url, settings=ONE)
        touch(first)
        second = make_engine(url, sleep=waits.append)
        with pytest.raises(Unavailable) as full:
            touch(second)
        assert full.value.kind is FailureKind.SATURATION
        assert len(waits) == 2
        first.dispose()
        eventually(lambda: sql("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", role) == [(0,)])
        touch(second)
        second.dispose()
    finally:
        sql(f"DROP ROLE {role}")


def test_a_server_s_statement_time_out_is_slow_and_tried_once_more(make_engine: MakeEngine) -> None:
    engine = make_engine()
    with pytest.raises(Unavailable) as slow:
        engine.call(
            lambda connection: (
                connection.exec_driver_sql("SELECT set_config('statement_timeout', '50ms', false)")
                and connection.exec_driver_sql("SELECT pg_sleep(30)")
            ),
            name="slow",
        )
    assert slow.value.kind is FailureKind.SLOW
    assert engine.snapshot().retries_total == 1


def test_a_read_only_server_refuses_writes_and_answers_reads(
    make_engine: MakeEngine, person: Person, database_url: str
) -> None:
    ann, bob = person(100), person()
    engine = make_engine(f"{database_url}?options=-c%20default_transaction_read_only%3Don", limits=STAYS_OPEN)
    with pytest.raises(Unavailable) as refused:
        send(engine, ann, bob, "k")
    assert refused.value.kind is FailureKind.STORAGE
    assert engine.snapshot().reason is BreakerReason.STORAGE
    with pytest.raises(Unavailable):
        send(engine, ann, bob, "k2")
    assert engine.snapshot().refused_total == 1
    assert users.get_or_create(engine, profile=ann).balance == 100


@contextmanager
def disk_full(sql: Sql) -> Iterator[None]:
    """Neither users nor probes can be written any more, as where the disk or a plan's size is used up."""
    sql(
        """
        CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON users EXECUTE FUNCTION full_disk();
        CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON health_probes EXECUTE FUNCTION full_disk();
        """
    )
    yield
    sql("DROP FUNCTION full_disk CASCADE")


def test_a_full_disk_answers_reads_of_those_whose_visit_it_cannot_note(
    make_engine: MakeEngine, person: Person, sql: Sql
) -> None:
    """Whoever was not seen for an hour, or has a new name, is noted as they read: that alone is what fails."""
    ann = person(100)
    engine = make_engine(limits=STAYS_OPEN)
    sql("UPDATE users SET last_seen_at = now() - interval '2 hours'")
    with disk_full(sql):
        for _ in range(2):  # also once the breaker is open for writes
            assert users.get_or_create(engine, profile=replace(ann, first_name="Anna")).balance == 100
            page = history.page(engine, profile=ann, upto_version=None, limit=5)
            assert (page.balance, len(page.entries)) == (100, 1)
        assert engine.snapshot().reason is BreakerReason.STORAGE
        with pytest.raises(Unavailable) as refused:
            users.get_or_create(engine, profile=Profile(999, None, "New"))
        assert refused.value.kind is FailureKind.STORAGE
    assert sql("SELECT first_name FROM users WHERE telegram_id = %s", ann.telegram_id) == [(ann.first_name,)]
    users.get_or_create(engine, profile=replace(ann, first_name="Anna"))
    assert sql("SELECT first_name FROM users WHERE telegram_id = %s", ann.telegram_id) == [("Anna",)]


def test_whether_it_can_be_written_to_is_tried_by_one_write_that_leaves_nothing(
    make_engine: MakeEngine, sql: Sql
) -> None:
    """Not by the health probe, which measures the whole database and may take longer than a probe has."""
    engine = make_engine(settings=ONE)
    sql("ALTER FUNCTION health_probe RENAME TO elsewhere")
    assert engine.probe(writes=True) is None
    with disk_full(sql):
        assert engine.probe(writes=True) is FailureKind.STORAGE
        assert engine.probe(writes=False) is None
    assert engine.probe(writes=True) is None
    assert sql("SELECT count(*) FROM health_probes") == [(0,)]


@contextmanager
def raising(sql: Sql, sqlstate: str) -> Iterator[None]:
    """Each transfer fails in this way."""
    sql(
        f"""
        CREATE FUNCTION boom() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'could not read block 0 in rel 1663/5/16390.0' USING ERRCODE = '{sqlstate}'; END $$;
        CREATE TRIGGER boom BEFORE INSERT ON transfers FOR EACH ROW EXECUTE FUNCTION boom();
        """
    )
    yield
    sql("DROP FUNCTION boom CASCADE")


@pytest.mark.parametrize("sqlstate", ["58000", "58030"])
def test_a_disk_that_does_not_answer_is_an_outage_and_no_failed_job(
    sqlstate: str, make_engine: MakeEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(100), person()
    engine = make_engine(sleep=lambda _seconds: None, limits=STAYS_OPEN)
    with raising(sql, sqlstate):
        for _ in range(2):
            with pytest.raises(Unavailable) as away:
                send(engine, ann, bob, "k")
            assert away.value.kind is FailureKind.OUTAGE
        assert engine.snapshot().reason is BreakerReason.OUTAGE
    engine.breaker.reset()
    assert send(engine, ann, bob, "k").status is OutcomeStatus.APPLIED


def test_damaged_data_is_counted_and_rises_as_it_is(
    make_engine: MakeEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(100), person()
    engine = make_engine()
    with raising(sql, "XX001"), pytest.raises(psycopg2.errors.DataCorrupted):
        send(engine, ann, bob, "k")
    snapshot = engine.snapshot()
    assert (snapshot.failures_by_kind, snapshot.state) == ({"corruption": 1}, BreakerState.CLOSED)
    assert send(engine, ann, bob, "k").status is OutcomeStatus.APPLIED


# --- the call itself fails


def test_a_deadlock_is_resolved_without_anyone_noticing(
    make_engine: MakeEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(), person()
    engine = make_engine(settings={"db_deadline_seconds": 60})
    barrier = threading.Barrier(2)
    tries: list[str] = []

    def crosswise(first: Profile, second: Profile) -> None:
        def operation(connection: Any) -> None:
            tries.append(first.first_name)
            connection.exec_driver_sql("BEGIN")
            try:
                lock = "SELECT 1 FROM users WHERE telegram_id = %s FOR UPDATE"
                connection.exec_driver_sql(lock, (first.telegram_id,))
                if len(tries) <= 2:
                    barrier.wait(30)
                connection.exec_driver_sql(lock, (second.telegram_id,))
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise

        engine.call(operation, name="crosswise")

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(crosswise, ann, bob), threads.submit(crosswise, bob, ann)]:
            done.result(timeout=90)
    snapshot = engine.snapshot()
    conflicts = snapshot.failures_by_kind[
        "conflict"
    ]  # most often one; the victim may run into the other again
    assert snapshot.failures_by_kind == {"conflict": conflicts}
    assert snapshot.state is BreakerState.CLOSED
    assert len(tries) == 2 + conflicts


def test_an_exhausted_pool_is_saturation_within_the_deadline(make_engine: MakeEngine) -> None:
    engine = make_engine(settings=ONE)
    taken, release = threading.Event(), threading.Event()

    def hold(_connection: Any) -> None:
        taken.set()
        release.wait(60)

    with ThreadPoolExecutor(1) as thread:
        holding = thread.submit(engine.call, hold, name="hold", deadline_seconds=120)
        assert taken.wait(30)
        waited = []
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(Unavailable) as full:
                touch(engine, deadline_seconds=0.3)
            waited.append(time.monotonic() - started)
        assert engine.snapshot().pool_in_use == 1
        release.set()
        holding.result(timeout=30)
    assert full.value.kind is FailureKind.SATURATION
    assert 0.25 < min(waited) < 2.4  # the pool's own time-out is 2.5 s
    assert engine.snapshot().pool_in_use == 0


def test_the_caller_s_own_errors_rise_untouched_and_prove_the_server_well(engine: GuardedEngine) -> None:
    for _ in range(30):
        with pytest.raises(ProgrammingError):
            engine.call(lambda connection: connection.exec_driver_sql("SELECT nothing_such"), name="wrong")
        with pytest.raises(psycopg2.ProgrammingError):
            engine.fetch_row("SELECT nothing_such", name="wrong")
        with pytest.raises(IntegrityError):
            engine.call(
                lambda connection: connection.exec_driver_sql(
                    "INSERT INTO users (telegram_id, first_name, status) VALUES (1, '', 'undead')"
                ),
                name="wrong",
            )
        with pytest.raises(ZeroDivisionError):
            engine.call(lambda _connection: 1 // 0, name="wrong")
    snapshot = engine.snapshot()
    assert snapshot.state is BreakerState.CLOSED
    assert (snapshot.retries_total, snapshot.failures_by_kind, snapshot.pool_in_use) == (0, {}, 0)


def test_an_idle_connection_is_tried_before_it_is_relied_on(make_engine: MakeEngine, sql: Sql) -> None:
    engine = make_engine(ping_after_idle_seconds=0.0, application_name="pinged")
    touch(engine)
    engine.fetch_row("SELECT 2", name="second")
    assert sql("SELECT query FROM pg_stat_activity WHERE application_name = 'pinged'") == [("SELECT 2",)]


def test_refusals_of_an_operator_s_forced_open_door_name_a_time(engine: GuardedEngine) -> None:
    engine.breaker.force_open()
    with pytest.raises(Unavailable) as refused:
        touch(engine)
    assert 50 < refused.value.retry_after_seconds <= 60
    engine.breaker.reset()
    touch(engine)


def test_an_adjustment_retried_after_a_lost_answer_is_a_replay(
    make_engine: MakeEngine, person: Person, sql: Sql
) -> None:
    """The server committed and then died before it said so: simulated by ending the session after the commit."""
    engine = make_engine(settings=ONE, application_name="lost answer")
    ann = person()
    target = UserRef(telegram_id=ann.telegram_id)
    first = ledger.adjust(engine, key="k", target=target, amount=5, memo="", actor="t")
    (pid,) = backends(sql, "lost answer")
    sql("SELECT pg_terminate_backend(%s)", pid)
    again = ledger.adjust(engine, key="k", target=target, amount=5, memo="", actor="t")
    assert (again.status, again.balance_after) == (OutcomeStatus.REPLAYED, first.balance_after)
