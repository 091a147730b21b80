from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from dbcore.breaker.local import BreakerLimits, BreakerReason, BreakerState
from dbcore.breaker.rules import Interval
from dbcore.errors import Unavailable
from dbcore.failures import FailureKind
from devstack.postgres import EmbeddedPostgres
from devstack.proxy import Answer as Says
from devstack.proxy import Delay, FaultProxy, On, Rule, ServerError, frozen
from tests.dbcore.conftest import eventually
from tests.dbcore.guard.attaching import App, answers, attached, checked_out, pid_of

SHORT = BreakerLimits(intervals=dict.fromkeys(BreakerReason, Interval(0.3, 0.3)))
ONE_PROBE = BreakerLimits(probes_at_once=1, probes_to_close=1, intervals=SHORT.intervals)
CALLS_TO_OPEN = SHORT.minimum_calls


@pytest.fixture
def proxy(postgres_server: EmbeddedPostgres) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", postgres_server.port, login=postgres_server.login) as proxy:
        yield proxy


@pytest.fixture
def url(proxy: FaultProxy, database_url: str) -> str:
    return proxy.url_of(database_url.rpartition("/")[2])


def open_by_outage(app: App, proxy: FaultProxy) -> None:
    """The server refuses connections until the breaker is open, and takes them again."""
    proxy.refuse()
    proxy.sever()
    while app.breaker.snapshot().state is not BreakerState.OPEN:
        with pytest.raises(Unavailable) as raised:
            answers(app.engine)
        assert raised.value.kind is FailureKind.OUTAGE
    proxy.accept()


def until_half_open(app: App) -> None:
    eventually(lambda: app.breaker.snapshot().retry_after_seconds == 0.0)


def test_an_open_breaker_refuses_before_the_pool_is_asked_and_costs_no_connection(
    database_url: str, postgres_server: EmbeddedPostgres
) -> None:
    for warm in (True, False):
        with attached(database_url) as app:
            if warm:
                assert answers(app.engine)
            opened = len(app.opened)
            app.breaker.force_open()
            assert postgres_server.pid is not None
            with frozen(postgres_server.pid):  # who dials now waits
                started = time.monotonic()
                for _ in range(200):
                    with pytest.raises(OperationalError) as raised:
                        app.engine.connect()
                    assert isinstance(raised.value, Unavailable)
                    assert raised.value.retry_after_seconds > 0
                    assert checked_out(app.engine) == 0
                assert time.monotonic() - started < 30  # each connect would take two seconds
            app.breaker.reset()
            assert answers(app.engine)
            assert len(app.opened) == max(1, opened)


def test_an_outage_opens_it_and_the_first_good_answers_close_it(proxy: FaultProxy, url: str) -> None:
    with attached(url, limits=SHORT) as app:
        assert answers(app.engine)
        open_by_outage(app, proxy)
        seen = proxy.connections
        with pytest.raises(Unavailable):
            app.engine.connect()
        assert proxy.connections == seen
        until_half_open(app)
        assert answers(app.engine)
        assert app.breaker.snapshot().state is BreakerState.HALF_OPEN
        assert answers(app.engine)
        assert app.breaker.snapshot().state is BreakerState.CLOSED


def test_half_open_lets_in_the_probes_alone(proxy: FaultProxy, url: str) -> None:
    with attached(url, limits=SHORT, pool_size=30, statement_seconds=20, connect_seconds=20) as app:
        open_by_outage(app, proxy)
        until_half_open(app)
        proxy.forget()
        slow = proxy.add(Rule(On(kind="Startup"), Delay(2.0), times=None))
        refused = threading.Semaphore(0)

        def call(_: int) -> bool:
            try:
                return answers(app.engine)
            except Unavailable:
                refused.release()
                return False

        with ThreadPoolExecutor(20) as threads:
            answered = list(threads.map(call, range(20)))
        proxy.remove(slow)
        assert sum(answered) == SHORT.probes_at_once
        assert proxy.connections == SHORT.probes_at_once
        assert app.breaker.snapshot().state is BreakerState.CLOSED


class Killed(BaseException):
    """As gevent's GreenletExit."""


def test_a_probe_that_ends_in_whatever_way_lets_the_next_one_try(proxy: FaultProxy, url: str) -> None:
    with attached(url, limits=ONE_PROBE) as app:
        open_by_outage(app, proxy)
        until_half_open(app)
        for ending in (KeyboardInterrupt, asyncio.CancelledError, Killed, ValueError):
            with pytest.raises(ending), app.engine.connect():
                raise ending

        def interrupt(*_arguments: Any) -> None:
            raise KeyboardInterrupt

        event.listen(app.engine, "checkout", interrupt)
        with pytest.raises(KeyboardInterrupt):
            app.engine.connect()
        event.remove(app.engine, "checkout", interrupt)
        assert app.breaker.snapshot().state is BreakerState.HALF_OPEN
        assert answers(app.engine)
        assert app.breaker.snapshot().state is BreakerState.CLOSED
        assert checked_out(app.engine) == 0


def test_a_transaction_that_was_let_in_is_let_finish(url: str) -> None:
    with attached(url) as app, app.engine.connect() as connection:
        connection.execute(text("CREATE TABLE kept (x int)"))
        app.breaker.force_open()
        connection.execute(text("INSERT INTO kept VALUES (7)"))
        with pytest.raises(Unavailable):
            app.engine.connect()
        connection.commit()
        app.breaker.reset()
        assert connection.scalar(text("SELECT x FROM kept")) == 7


def test_a_frozen_server_opens_it_and_a_full_disk_leaves_what_can_be_read(
    proxy: FaultProxy, url: str
) -> None:
    with attached(url, limits=SHORT, statement_seconds=0.1, pool_size=10) as app:
        connections = [app.engine.connect() for _ in range(CALLS_TO_OPEN)]
        for connection in connections:
            with pytest.raises(Unavailable) as raised, frozen(pid_of(connection)):
                connection.execute(text("SELECT 1"))
            assert raised.value.kind is FailureKind.SLOW
            connection.close()
        # As many good answers as bad ones came first, and half of all are not enough.
        app.breaker.reset()
        for _ in range(CALLS_TO_OPEN):
            with app.engine.connect() as connection, pytest.raises(Unavailable):
                connection.execute(text("SELECT pg_sleep(60)"))
        assert app.breaker.snapshot().reason is BreakerReason.SATURATION

        app.breaker.reset()
        full = ServerError("could not extend file: No space left on device", "53100")
        placed = proxy.add(Rule(On(statement="INSERT"), Says(full), times=None))
        for _ in range(3):  # the server itself says no, at once
            with app.engine.connect() as connection, pytest.raises(OperationalError) as no_space:
                connection.execute(text("INSERT INTO no_matter VALUES (1)"))
            assert isinstance(no_space.value, Unavailable)
            assert no_space.value.kind is FailureKind.STORAGE
            assert app.breaker.snapshot().reason is BreakerReason.STORAGE
            assert answers(app.engine)
        proxy.remove(placed)
        eventually(lambda: answers(app.engine) and app.breaker.snapshot().state is BreakerState.CLOSED)


def test_what_is_answered_in_time_is_not_slow_however_long_it_took(database_url: str) -> None:
    limits = BreakerLimits(slow_call_seconds=0.01, minimum_calls=2)
    with attached(database_url, limits=limits, statement_seconds=20) as app:
        for _ in range(3):
            with app.engine.connect() as connection:
                connection.execute(text("SELECT pg_sleep(0.05)"))
        assert app.breaker.snapshot().state is BreakerState.CLOSED


def test_who_idles_in_a_transaction_until_the_server_ends_it_does_not_open_it(
    proxy: FaultProxy, url: str
) -> None:
    words = ServerError("terminating connection due to idle-in-transaction timeout", "25P03", "FATAL")
    with attached(url, limits=SHORT) as app:
        proxy.add(Rule(On(statement="late"), Says(words), times=None))
        for _ in range(2 * CALLS_TO_OPEN):
            with app.engine.connect() as connection, pytest.raises(OperationalError, match="idle-in"):
                connection.execute(text("SELECT 1 AS late"))
        assert app.breaker.snapshot().failures == 0


def test_a_full_pool_says_nothing_of_the_server(database_url: str) -> None:
    limits = BreakerLimits(minimum_calls=1, failure_rate=0.1)
    with attached(database_url, limits=limits, pool_size=1, pool_timeout=0.01) as app:
        with app.engine.connect():
            for _ in range(3):
                with pytest.raises(Unavailable):
                    app.engine.connect()
        assert answers(app.engine)
