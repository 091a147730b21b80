"""DB_DEADLINE_SECONDS against a server that stands still: it holds for the whole call, and what was cut off is thrown
away.

Bounds are the deadline, and a grace that is generous because machines are slow, but less than any other time-out
in play.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from dbcore.breaker.local import BreakerLimits
from dbcore.errors import DatabaseAway, OutcomeUnknown, Unavailable
from dbcore.failures import FailureKind
from dbcore.guard.deadline import Deadline
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import users
from dbcore.settings import Settings
from devstack.postgres import EmbeddedPostgres
from devstack.proxy import Cut, Delay, FaultProxy, On, Rule, Side, Silence, frozen, frozen_server

DEADLINE_SECONDS = 0.7
GRACE_SECONDS = 9.0
NEVER_OPENS = BreakerLimits(failure_rate=2.0, slow_rate=2.0)

Freeze = Callable[[EmbeddedPostgres, int], AbstractContextManager[None]]


def backend_of(engine: GuardedEngine) -> int:
    """The server process behind the one connection of the engine."""
    pid: int = engine.fetch_row("SELECT pg_backend_pid()", name="backend", deadline_seconds=60)[0]
    return pid


@contextmanager
def one_connection(url: str, *, deadline_seconds: float = DEADLINE_SECONDS) -> Iterator[GuardedEngine]:
    settings = Settings(
        _env_file=None,
        database_url=url,
        db_pool_size=1,
        db_max_overflow=0,
        db_deadline_seconds=deadline_seconds,
    )
    engine = GuardedEngine(settings, limits=NEVER_OPENS)
    yield engine
    engine.dispose()


@contextmanager
def within_the_deadline(deadline_seconds: float = DEADLINE_SECONDS) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < deadline_seconds + GRACE_SECONDS


def backend_frozen(_server: EmbeddedPostgres, backend: int) -> AbstractContextManager[None]:
    return frozen(backend)


def whole_server_frozen(server: EmbeddedPostgres, _backend: int) -> AbstractContextManager[None]:
    assert server.pid is not None
    return frozen_server(server.pid)


FROZEN = pytest.mark.parametrize(
    "freeze", [backend_frozen, whole_server_frozen], ids=["backend", "whole server"]
)


@FROZEN
def test_a_statement_to_a_frozen_server_ends_by_the_deadline_and_its_connection_with_it(
    freeze: Freeze, postgres_server: EmbeddedPostgres, database_url: str
) -> None:
    with one_connection(database_url) as engine:
        backend = backend_of(engine)
        with freeze(postgres_server, backend):
            with within_the_deadline(), pytest.raises(OutcomeUnknown) as unknown:
                engine.fetch_row("SELECT 1", name="frozen")
            assert unknown.value.kind is FailureKind.SLOW
            assert engine.snapshot().pool_in_use == 0
        assert backend_of(engine) != backend
        assert engine.snapshot().failures_by_kind == {FailureKind.SLOW: 1}


@FROZEN
def test_a_statement_larger_than_every_buffer_does_not_outlast_the_deadline(
    freeze: Freeze, postgres_server: EmbeddedPostgres, database_url: str
) -> None:
    """Nobody reads, so it is the sending that waits."""
    with one_connection(database_url) as engine:
        backend = backend_of(engine)
        with freeze(postgres_server, backend), within_the_deadline(), pytest.raises(OutcomeUnknown):
            engine.fetch_row("SELECT length(%s)", ("x" * 30_000_000,), name="large")
        assert backend_of(engine) != backend


def test_connecting_to_a_frozen_server_ends_by_the_deadline(
    postgres_server: EmbeddedPostgres, database_url: str
) -> None:
    """The kernel accepts for it, and nobody answers."""
    with one_connection(database_url) as engine:
        assert postgres_server.pid is not None
        with frozen_server(postgres_server.pid), within_the_deadline(), pytest.raises(Unavailable) as away:
            engine.fetch_row("SELECT 1", name="connect")
        assert away.value.kind is FailureKind.OUTAGE
        assert backend_of(engine)


def test_connecting_and_its_retries_share_one_deadline(
    postgres_server: EmbeddedPostgres, database_url: str
) -> None:
    """Each try may wait for the connect time-out of 2 s; three of them do not fit."""
    with one_connection(database_url, deadline_seconds=3.0) as engine:
        assert postgres_server.pid is not None
        with frozen_server(postgres_server.pid), within_the_deadline(3.0), pytest.raises(Unavailable):
            engine.fetch_row("SELECT 1", name="connect")
        assert engine.snapshot().failures_by_kind == {FailureKind.OUTAGE: 2}


def test_only_the_postmaster_frozen_disturbs_no_connection_that_is_up(
    postgres_server: EmbeddedPostgres, database_url: str
) -> None:
    with one_connection(database_url) as engine:
        backend = backend_of(engine)
        assert postgres_server.pid is not None
        with frozen(postgres_server.pid):
            assert backend_of(engine) == backend
            with one_connection(database_url) as late, within_the_deadline(), pytest.raises(Unavailable):
                late.fetch_row("SELECT 1", name="connect")


def test_trying_an_idle_connection_of_a_frozen_server_counts_into_the_deadline(
    postgres_server: EmbeddedPostgres, database_url: str
) -> None:
    settings = Settings(
        _env_file=None,
        database_url=database_url,
        db_pool_size=1,
        db_max_overflow=0,
        db_deadline_seconds=DEADLINE_SECONDS,
    )
    engine = GuardedEngine(settings, limits=NEVER_OPENS, ping_after_idle_seconds=0.0)
    backend_of(engine)
    assert postgres_server.pid is not None
    with frozen_server(postgres_server.pid), within_the_deadline(), pytest.raises(Unavailable) as away:
        engine.fetch_row("SELECT 1", name="ping")
    assert away.value.kind is FailureKind.OUTAGE
    engine.dispose()


@pytest.mark.parametrize(
    "on", [On(kind="SSLRequest"), On(kind="Startup"), On(Side.SERVER, kind="K")], ids=str
)
def test_silence_while_connecting_ends_by_the_deadline(on: On, proxy: FaultProxy, database: str) -> None:
    with one_connection(proxy.url_of(database)) as engine:
        proxy.add(Rule(on, Silence(), times=None))
        with within_the_deadline(), pytest.raises(Unavailable) as away:
            engine.fetch_row("SELECT 1", name="connect")
        assert away.value.kind is FailureKind.OUTAGE


def test_an_answer_that_drips_ends_by_the_deadline(proxy: FaultProxy, database: str) -> None:
    """Each row comes in time, all of them do not: the deadline is not one of silence."""
    with one_connection(proxy.url_of(database)) as engine:
        backend_of(engine)
        proxy.add(Rule(On(Side.SERVER, kind="D"), Delay(0.2), times=None))
        with within_the_deadline(), pytest.raises(DatabaseAway) as away:
            engine.fetch_row("SELECT generate_series(1, 100)", name="drip")
        assert away.value.kind is FailureKind.SLOW


def test_retries_of_lost_connections_share_one_deadline(proxy: FaultProxy, database: str) -> None:
    """Lost late each time: the third try would be over the deadline, and is not begun or ends with it."""
    with one_connection(proxy.url_of(database)) as engine:
        backend_of(engine)
        proxy.add(Rule(On(Side.SERVER, kind="T", statement="late"), Delay(0.4), times=None))
        proxy.add(Rule(On(Side.SERVER, kind="D", statement="late"), Cut(), times=None))
        with within_the_deadline(), pytest.raises(OutcomeUnknown):
            engine.fetch_row("SELECT 1 AS late", name="late")
        assert len(proxy.statements("late")) <= 2


def test_a_job_s_nearer_deadline_is_the_one_that_holds(
    postgres_server: EmbeddedPostgres, database_url: str
) -> None:
    with one_connection(database_url, deadline_seconds=60.0) as engine:
        profile = users.Profile(1, None, "Ann")
        users.get_or_create(engine, profile=profile)
        backend = backend_of(engine)
        with frozen(backend), within_the_deadline(), pytest.raises(DatabaseAway):
            engine.fetch_row("SELECT 1", name="near", deadline_seconds=DEADLINE_SECONDS)
        assert not users.get_or_create(engine, profile=profile).created


def test_a_deadline_around_the_call_ends_its_retries_too(proxy: FaultProxy, database: str) -> None:
    """And what it cut off is not counted against the database a second time."""
    with one_connection(proxy.url_of(database), deadline_seconds=60.0) as engine:
        backend_of(engine)
        proxy.add(Rule(On(statement="silent"), Silence(), times=None))
        with within_the_deadline(), pytest.raises(OutcomeUnknown) as unknown, Deadline(DEADLINE_SECONDS):
            engine.fetch_row("SELECT 1 AS silent", name="silent")
        assert unknown.value.kind is FailureKind.SLOW
        assert engine.snapshot().failures_by_kind == {FailureKind.SLOW: 1}
