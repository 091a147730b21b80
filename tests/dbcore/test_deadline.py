from __future__ import annotations

import io
import random
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest

from dbcore.guard import deadline
from dbcore.guard.deadline import Deadline, DeadlineExceeded
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from devstack.proxy import frozen
from tests.dbcore.conftest import eventually


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def connection(database_url: str) -> Iterator[deadline.Connection]:
    connection = deadline.connect(database_url)
    yield connection
    connection.close()


def run(connection: deadline.Connection, statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()


def test_connecting_ends_at_the_connect_time_out_it_asked_for(silent_port: int) -> None:
    started = time.monotonic()
    with pytest.raises(psycopg2.OperationalError, match="timeout expired"):
        deadline.connect(host="127.0.0.1", port=silent_port, user="x", connect_timeout=2)
    assert 1.9 < time.monotonic() - started < 20


def test_connecting_ends_at_the_deadline(silent_port: int) -> None:
    with Deadline(0.2), pytest.raises(DeadlineExceeded):
        deadline.connect(host="127.0.0.1", port=silent_port, user="x", connect_timeout=60)


def test_a_connection_that_nobody_waits_for_any_more_is_closed(
    postgres_server: EmbeddedPostgres, database_url: str, connection: deadline.Connection
) -> None:
    connection.autocommit = True
    name = f"late-{uuid.uuid4().hex}"
    assert postgres_server.pid is not None
    with frozen(postgres_server.pid), Deadline(0.2), pytest.raises(DeadlineExceeded):
        deadline.connect(database_url, application_name=name, connect_timeout=60)
    connects = [thread for thread in threading.enumerate() if thread.name == deadline.CONNECT_THREAD]
    for thread in connects:
        thread.join(60)
    assert connects
    assert not any(thread.is_alive() for thread in connects)
    eventually(
        lambda: (
            run(connection, f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'")
            == (0,)
        )
    )


def test_a_connect_that_is_refused_rises_as_the_driver_raises_it() -> None:
    with Deadline(60), pytest.raises(psycopg2.OperationalError, match="Connection refused"):
        deadline.connect(host="127.0.0.1", port=free_port(), user="x")


def test_a_statement_ends_at_the_deadline_and_its_connection_with_it(connection: deadline.Connection) -> None:
    with Deadline(0.2), pytest.raises(DeadlineExceeded):
        run(connection, "SELECT pg_sleep(60)")
    assert connection.closed


def test_a_commit_ends_at_the_deadline(connection: deadline.Connection) -> None:
    run(
        connection,
        "CREATE TABLE late (x int);"
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END';"
        "CREATE CONSTRAINT TRIGGER lingers AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION linger(); INSERT INTO late VALUES (1); SELECT 1",
    )
    with Deadline(0.2), pytest.raises(DeadlineExceeded):
        connection.commit()
    assert connection.closed


def test_many_at_once_each_end_at_their_own_deadline(database_url: str) -> None:
    """The thread that watches them sleeps until the nearest, and is woken for one that is nearer."""

    def ask(seconds: float) -> str:
        connection = deadline.connect(database_url)
        try:
            with Deadline(seconds):
                run(connection, "SELECT pg_sleep(1)")
        except DeadlineExceeded:
            return "late"
        finally:
            connection.close()
        return "answered"

    wanted = [600.0, 0.1, 300.0, 0.3, 600.0, 0.05, 300.0, 0.2]
    with ThreadPoolExecutor(len(wanted)) as threads:
        assert list(threads.map(ask, wanted)) == ["answered" if seconds > 1 else "late" for seconds in wanted]


def test_statements_in_time_leave_their_connection_alone_long_after(connection: deadline.Connection) -> None:
    for _ in range(200):
        with Deadline(0.5):
            run(connection, "SELECT 1")
    assert run(connection, "SELECT pg_sleep(1), 7") == ("", 7)


def test_answers_at_the_very_deadline_are_whole_or_late_and_hit_no_other_connection(
    database_url: str,
) -> None:
    """A descriptor that was closed is soon another's: the one that is shut must be the late call's."""
    seen: set[str] = set()
    bystander = deadline.connect(database_url)
    for round_ in range(150):
        connection = deadline.connect(database_url)
        try:
            with Deadline(0.02 + (round_ % 5) * 0.0005):
                assert run(connection, "SELECT pg_sleep(0.02), 7") == ("", 7)
            seen.add("answered")
        except DeadlineExceeded:
            assert connection.closed
            seen.add("late")
        connection.close()
        assert run(bystander, "SELECT 1") == (1,)
    assert "late" in seen
    bystander.close()


def test_deadlines_hold_in_a_child_of_a_process_that_kept_some(database_url: str) -> None:
    """The thread that keeps them does not survive the fork."""
    forking = textwrap.dedent("""
        import os, sys
        from dbcore.guard import deadline
        from dbcore.guard.deadline import Deadline, DeadlineExceeded

        def ask(seconds, statement):
            with Deadline(seconds):
                deadline.connect(sys.argv[1]).cursor().execute(statement)

        ask(60, "SELECT 1")
        if os.fork() == 0:
            try:
                ask(0.2, "SELECT pg_sleep(60)")
            except DeadlineExceeded:
                os._exit(7)
            os._exit(1)
        print(os.waitstatus_to_exitcode(os.wait()[1]))
    """)
    asked = subprocess.run(
        [sys.executable, "-c", forking, database_url], capture_output=True, text=True, timeout=60, check=True
    )
    assert asked.stdout == "7\n"


def test_a_server_that_hangs_up_at_the_very_deadline_leaves_the_watch_awake(database_url: str) -> None:
    """libpq closes its socket then by itself, and the number may be somebody else's already."""
    stop = time.monotonic() + 4

    def ask(_: int) -> int:
        ended, chance = 0, random.Random(_)
        while time.monotonic() < stop:
            connection = deadline.connect(database_url)
            run(connection, "SET transaction_timeout = '60ms'; SELECT 1")
            connection.commit()
            with pytest.raises(psycopg2.OperationalError), Deadline(0.06 + chance.uniform(0, 0.004)):
                run(connection, "SELECT pg_sleep(60)")
            connection.close()
            ended += 1
        return ended

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(ask, range(4))) > 20
    connection = deadline.connect(database_url)
    with Deadline(0.2), pytest.raises(DeadlineExceeded):
        run(connection, "SELECT pg_sleep(60)")


class Interrupted(Exception):
    """What a handler of a signal raises, as Celery's soft time limit does."""


def test_an_exception_of_a_signal_s_leaves_no_call_behind_and_the_watch_awake(
    connection: deadline.Connection,
) -> None:
    """A call that were left would be ended when its time is up, and with it whatever its connection does by then."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    connection.autocommit = True
    interrupted, until = 0, time.monotonic() + 3
    try:
        while time.monotonic() < until:
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.001))
                with Deadline(0.5):  # nearer than when the watch would look, so that each call wakes it
                    while True:
                        connection.autocommit = True  # as it is, so that nothing is asked of the server
            except Interrupted:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 100
    assert run(connection, "SELECT pg_sleep(1), 7") == ("", 7)
    with Deadline(0.2), pytest.raises(DeadlineExceeded):
        run(connection, "SELECT pg_sleep(60)")


def test_without_room_for_a_thread_nothing_is_sent_and_the_failure_is_the_driver_s(database_url: str) -> None:
    asking = textwrap.dedent("""
        import sys, threading
        from dbcore.guard import deadline
        from dbcore.guard.deadline import Deadline
        from dbcore.failures import Phase, classify

        def failure(ask):
            try:
                with Deadline(60):
                    ask()
            except Exception as error:
                return classify(error, Phase.QUERY)

        def refuse(*_):
            raise RuntimeError("can't start new thread")

        connection = deadline.connect(sys.argv[1])
        start, threading.Thread.start = threading.Thread.start, refuse
        print(failure(lambda: connection.cursor().execute("CREATE TABLE sent ()")))
        print(failure(lambda: deadline.connect(sys.argv[1])))
        threading.Thread.start = start
        print(failure(lambda: connection.cursor().execute("CREATE TABLE sent ()")))
    """)
    asked = subprocess.run(
        [sys.executable, "-c", asking, database_url], capture_output=True, text=True, timeout=60, check=True
    )
    assert asked.stdout.split() == ["saturation", "saturation", "None"]


def test_other_connections_of_the_process_are_psycopg2_s_own(database_url: str) -> None:
    """A host program may COPY on its own connections while ours keep deadlines."""
    own = psycopg2.connect(database_url)
    copied = io.StringIO()
    with Deadline(60), own.cursor() as cursor:
        cursor.copy_expert("COPY (VALUES (1), (2)) TO STDOUT", copied)
    assert copied.getvalue() == "1\n2\n"
    own.close()


def test_the_nearer_of_two_deadlines_holds_and_the_outer_comes_back() -> None:
    with Deadline(100):
        with Deadline(5):
            assert deadline.remaining_seconds() <= 5
            with Deadline(50):
                assert deadline.remaining_seconds() <= 5
        assert deadline.remaining_seconds() > 50
    assert deadline.remaining_seconds() == float("inf")


def test_without_a_deadline_a_statement_takes_its_time(connection: deadline.Connection) -> None:
    assert run(connection, "SELECT pg_sleep(0.3), 7") == ("", 7)
