"""What a real PostgreSQL 18 says through libpq 17 and psycopg2, where docs and guesses differ.

The played cases of this suite are only worth something while they look like this.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from dbcore.failures import FailureKind, Phase, classify
from dbcore.guard import deadline
from devstack.embedded import Command
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from devstack.proxy import frozen
from devstack.proxy.wire import message
from tests.harness.logins import as_role, raw_session

K = FailureKind
LOST = "server closed the connection unexpectedly"
WAIT_SECONDS = 60.0


Connect = Callable[[str], Any]


def connect(url: str, **options: Any) -> Any:
    """As every process of Ballast."""
    connection = deadline.connect(url, **options)
    connection.autocommit = True
    return connection


def connect_plainly(url: str) -> Any:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection


def run(connection: Any, statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def failure(call: Callable[[], object]) -> psycopg2.Error:
    with pytest.raises(psycopg2.Error) as raised:
        call()
    return raised.value


# --- the session ends: FATAL, then close


def ended_inside_a_statement(connect: Connect, url: str) -> None:
    connection = connect(url)
    run(connection, "SELECT pg_terminate_backend(pg_backend_pid())")


def ended_while_idle(connect: Connect, url: str) -> None:
    connection = connect(url)
    pid = run(connection, "SELECT pg_backend_pid()")
    other = connect(url)
    assert run(other, f"SELECT pg_terminate_backend({pid}, 30000)")  # waits until it is gone
    other.close()
    run(connection, "SELECT 1")


def timed_out(setting: str, begin: str, sleep: str) -> Callable[[Connect, str], None]:
    def session(connect: Connect, url: str) -> None:
        connection = connect(url)
        watch = connect(url)
        pid = run(connection, "SELECT pg_backend_pid()")
        run(connection, f"SET {setting} = '50ms'")
        if begin:
            run(connection, begin)
        until = time.monotonic() + WAIT_SECONDS
        while not sleep and run(watch, f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"):
            assert time.monotonic() < until
            time.sleep(0.01)
        watch.close()
        run(connection, sleep or "SELECT 1")

    return session


ENDINGS = [
    pytest.param(
        ended_inside_a_statement,
        "terminating connection due to administrator command",
        K.UNKNOWN_OUTCOME,
        id="57P01 in a statement",
    ),
    pytest.param(
        ended_while_idle,
        "terminating connection due to administrator command",
        K.UNKNOWN_OUTCOME,
        id="57P01 while idle",
    ),
    pytest.param(
        timed_out("idle_session_timeout", "", ""),
        "terminating connection due to idle-session timeout",
        K.UNKNOWN_OUTCOME,
        id="57P05",
    ),
    pytest.param(
        timed_out("idle_in_transaction_session_timeout", "BEGIN", ""),
        "terminating connection due to idle-in-transaction timeout",
        K.UNKNOWN_OUTCOME,
        id="25P03",
    ),
    pytest.param(
        timed_out("transaction_timeout", "", "SELECT pg_sleep(60)"),
        "terminating connection due to transaction timeout",
        K.SLOW,
        id="25P04",
    ),
]


@pytest.mark.parametrize(("end", "words", "kind"), ENDINGS)
def test_the_last_words_of_a_session_arrive_without_their_code(
    end: Callable[[Connect, str], None], words: str, kind: FailureKind, database_url: str
) -> None:
    error = failure(lambda: end(connect, database_url))
    assert type(error) is psycopg2.OperationalError
    assert error.pgcode is None
    assert words in str(error)
    assert LOST in str(error)
    assert classify(error, Phase.QUERY) is kind


@pytest.mark.parametrize(("end", "words", "kind"), ENDINGS)
def test_psycopg2_by_itself_raises_but_the_end_of_a_session(
    end: Callable[[Connect, str], None], words: str, kind: FailureKind, database_url: str
) -> None:
    error = failure(lambda: end(connect_plainly, database_url))
    assert error.pgcode is None
    assert words not in str(error)
    assert LOST in str(error)


def test_a_protocol_violation_is_fatal_and_closes(database_url: str) -> None:
    """08P01 of the server's own. libpq never violates the protocol, so this speaks it by hand."""
    with raw_session(database_url, WAIT_SECONDS) as client:
        client.sendall(message("x", b""))
        received = b""
        while piece := client.recv(65536):
            received += piece
    assert b"SFATAL\0VFATAL\0C08P01\0Minvalid frontend message type 120\0" in received


# --- the session stays: the code arrives


@pytest.mark.parametrize(
    ("prepare", "statement", "sqlstate", "kind"),
    [
        ("SET statement_timeout = '50ms'", "SELECT pg_sleep(60)", "57014", K.SLOW),
        ("SET default_transaction_read_only = on", "DELETE FROM users", "25006", K.STORAGE),
        ("", "SELECT * FROM pg_authid", "42501", K.CONFIGURATION),
        ("", "SELECT 1 / 0", "22012", K.DATA),
        ("", "SELECT nothing", "42703", K.DATA),
    ],
)
def test_an_error_that_leaves_the_session_keeps_its_code(
    prepare: str, statement: str, sqlstate: str, kind: FailureKind, database_url: str
) -> None:
    connection = connect(database_url)
    if prepare:
        run(connection, prepare)
    error = failure(lambda: run(connection, statement))
    assert (error.pgcode, classify(error, Phase.QUERY)) == (sqlstate, kind)
    connection.close()


def test_a_lock_time_out_keeps_its_code(database_url: str) -> None:
    holder, waiter = connect(database_url), connect(database_url)
    run(holder, "BEGIN; LOCK users")
    run(waiter, "SET lock_timeout = '50ms'")
    error = failure(lambda: run(waiter, "SELECT count(*) FROM users"))
    assert (error.pgcode, classify(error, Phase.QUERY)) == ("55P03", K.SLOW)
    holder.close()
    waiter.close()


# --- no session comes to be


@pytest.mark.parametrize(
    ("role", "setup", "options", "words"),
    [
        ("ballast", "", {"dbname": "nowhere"}, 'database "nowhere" does not exist'),
        ("nobody_such", "", {}, 'password authentication failed for user "nobody_such"'),
        (
            "locked_out",
            "CREATE ROLE locked_out NOLOGIN PASSWORD 'locked_out'",
            {},
            "is not permitted to log in",
        ),
        (
            "stranger",
            "CREATE ROLE stranger LOGIN PASSWORD 'stranger'; REVOKE CONNECT ON DATABASE {database} FROM PUBLIC",
            {},
            "permission denied for database",
        ),
        ("ballast", "", {"options": "-c nonsense=1"}, "unrecognized configuration parameter"),
        ("ballast", "ALTER DATABASE {database} ALLOW_CONNECTIONS false", {}, "is not currently accepting"),
    ],
)
def test_a_wrong_configuration_is_told_by_words_alone(
    role: str,
    setup: str,
    options: dict[str, str],
    words: str,
    database_url: str,
    postgres_server: EmbeddedPostgres,
) -> None:
    database = database_url.rsplit("/", 1)[1]
    admin = connect(postgres_server.admin_url_of("postgres"))
    for statement in filter(None, setup.split("; ")):
        with suppress(psycopg2.errors.DuplicateObject):  # roles outlive the test
            run(admin, statement.format(database=database))
    url = database_url if role == "ballast" else as_role(database_url, role)
    error = failure(lambda: connect(url, **options))
    admin.close()
    assert error.pgcode is None
    assert words in str(error)
    assert classify(error, Phase.CONNECT) is K.CONFIGURATION


def sessions() -> set[Any]:
    """By our addresses. Those of tests before may end meanwhile."""
    return {connection.laddr for connection in psutil.Process().net_connections("tcp")}


def test_a_missing_password_is_a_wrong_configuration_and_leaves_no_session(
    database_url: str, postgres_server: EmbeddedPostgres
) -> None:
    without = database_url.replace(postgres_server.login, "ballast")
    before = sessions()
    error = failure(lambda: connect(without, passfile="/dev/null"))
    assert sessions() <= before  # while somebody still keeps the error
    assert error.pgcode is None
    assert "no password supplied" in str(error)
    assert classify(error, Phase.CONNECT) is K.CONFIGURATION


class SmallPostgres(EmbeddedPostgres):
    """With room for few, and started without waiting for it where that would never end."""

    waits = True

    def command(self) -> Command:
        argv, env, user = super().command()
        options = ["max_connections=5", "superuser_reserved_connections=2", "max_wal_senders=0"]
        return Command([*argv, *(f"-c{option}" for option in options)], env, user)

    def accepts(self) -> bool:
        return super().accepts() if self.waits else True


@pytest.fixture(scope="module")
def small(servers_folder: Path) -> Iterator[SmallPostgres]:
    server = SmallPostgres(servers_folder / "small", free_port(), durable=False)
    server.start()
    admin = connect(server.admin_url_of("postgres"))
    run(admin, "CREATE ROLE guest LOGIN PASSWORD 'guest'")
    admin.close()
    yield server
    server.kill()


@pytest.fixture
def running(small: SmallPostgres) -> SmallPostgres:
    """The small server, running when the test begins."""
    small.waits = True
    if not small.accepts():
        small.kill()
        small.start()
    return small


def refused(url: str) -> psycopg2.Error | None:
    """How a connect fails; None where it does not."""
    try:
        connect(url, connect_timeout=10).close()
    except psycopg2.OperationalError as error:
        return error
    return None


def refusal_with(url: str, words: str) -> psycopg2.Error | None:
    """Connects again and again until it is refused in these words; None where the server answers first."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        error = refused(url)
        if error is None:
            return None
        if words in str(error):
            return error
    pytest.fail(f"never refused with {words!r}")


def eventually_refused(url: str) -> psycopg2.Error:
    """Sessions that end take a moment to give their slot back, and to take one."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        error = refused(url)
        if error is not None:
            return error
    pytest.fail("never refused")


def test_a_full_server_is_saturation_and_told_by_words_alone(running: SmallPostgres) -> None:
    """53300, for whom the last slots are reserved and for whom not even those are left."""
    guest_url = as_role(running.url, "guest")
    held = []
    with suppress(psycopg2.OperationalError):
        for _ in range(10):
            held.append(connect(guest_url))  # noqa: PERF401  what came to be must be closed
    error = eventually_refused(guest_url)
    assert "remaining connection slots are reserved" in str(error)
    assert (error.pgcode, classify(error, Phase.CONNECT)) == (None, K.SATURATION)
    with suppress(psycopg2.OperationalError):
        for _ in range(10):
            held.append(connect(running.admin_url_of("postgres")))  # noqa: PERF401
    error = eventually_refused(running.admin_url_of("postgres"))
    assert "sorry, too many clients already" in str(error)
    assert (error.pgcode, classify(error, Phase.CONNECT)) == (None, K.SATURATION)
    for connection in held:
        connection.close()


def process_of(url: str, kind: str) -> int:
    connection = connect(url)
    pid: int = run(connection, f"SELECT pid FROM pg_stat_activity WHERE backend_type = '{kind}'")
    connection.close()
    return pid


def test_a_server_that_shuts_down_is_an_outage(running: SmallPostgres) -> None:
    """57P03. The checkpointer is held, so that the shutdown takes as long as we look."""
    checkpointer = process_of(running.admin_url_of("postgres"), "checkpointer")
    connection = connect(running.url)
    assert running.pid is not None
    with frozen(checkpointer):
        os.kill(running.pid, signal.SIGINT)
        error = refusal_with(running.url, "the database system is shutting down")
        assert error is not None
        assert (error.pgcode, classify(error, Phase.CONNECT)) == (None, K.OUTAGE)
        lost = failure(lambda: run(connection, "SELECT 1"))
        assert classify(lost, Phase.QUERY) is K.UNKNOWN_OUTCOME
    running.stop()


def test_a_crashed_neighbour_ends_all_sessions_and_the_server_recovers(running: SmallPostgres) -> None:
    """57P02 is but a warning; what arrives is the bare end of the connection. Then 57P03, then service."""
    neighbour, connection = connect(running.url), connect(running.url)
    pid = run(neighbour, "SELECT pg_backend_pid()")
    errors: list[psycopg2.Error] = []

    def sleep() -> None:
        errors.append(failure(lambda: run(connection, "SELECT pg_sleep(60)")))

    thread = threading.Thread(target=sleep)
    thread.start()
    watch = connect(running.url)
    until = time.monotonic() + WAIT_SECONDS
    while not run(watch, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)'"):
        assert time.monotonic() < until
    os.kill(pid, signal.SIGKILL)
    thread.join(WAIT_SECONDS)
    (error,) = errors
    assert error.pgcode is None
    assert LOST in str(error)
    assert classify(error, Phase.QUERY) is K.UNKNOWN_OUTCOME
    while (refusal := refused(running.url)) is not None:
        assert classify(refusal, Phase.CONNECT) is K.OUTAGE, refusal
        assert time.monotonic() < until


def test_a_server_that_starts_up_is_an_outage(running: SmallPostgres) -> None:
    """57P03. Its state is a short one, so a start is watched until it was seen."""
    for _ in range(20):
        running.kill()
        running.waits = False
        running.start()
        error = refusal_with(running.url, "the database system is starting up")
        if error is not None:
            break
        running.waits = True
    assert error is not None
    assert (error.pgcode, classify(error, Phase.CONNECT)) == (None, K.OUTAGE)


@contextmanager
def standing_by(server: SmallPostgres) -> Iterator[None]:
    """A standby that lets nobody in."""
    connection = connect(server.admin_url_of("postgres"))
    signal_file = Path(run(connection, "SHOW data_directory")) / "standby.signal"
    run(connection, "ALTER SYSTEM SET hot_standby = off")
    connection.close()
    server.stop()
    signal_file.touch()
    server.waits = False
    server.start()
    try:
        yield
    finally:
        server.kill()
        signal_file.unlink()


def test_a_standby_that_lets_nobody_in_is_an_outage(running: SmallPostgres) -> None:
    with standing_by(running):
        error = refusal_with(running.url, "the database system is not accepting connections")
        assert error is not None
        assert (error.pgcode, classify(error, Phase.CONNECT)) == (None, K.OUTAGE)
