"""The fault proxy between real clients and real servers."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis
from psycopg2 import errors

from devstack.postgres import EmbeddedPostgres
from devstack.proxy import (
    Answer,
    Cut,
    Delay,
    FaultProxy,
    On,
    Rule,
    ServerError,
    Side,
    Silence,
    Wire,
    frozen,
    frozen_server,
    state_of,
)
from devstack.proxy.wire import message
from devstack.redis import EmbeddedRedis
from tests.harness.logins import raw_session

INSERT = "INSERT INTO marks VALUES (1)"
WAIT_SECONDS = 30.0


@pytest.fixture
def proxy(postgres_server: EmbeddedPostgres) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", postgres_server.port, login=postgres_server.login) as proxy:
        yield proxy


@pytest.fixture
def database(database_url: str) -> str:
    """The name of a database with a table `marks`."""
    name = database_url.rsplit("/", 1)[1]
    past(database_url, "CREATE TABLE marks (mark int)")
    return name


def past(url: str, statement: str) -> list[Any]:
    """Run a statement on a connection of its own."""
    connection = psycopg2.connect(url)
    try:
        return run(connection, statement)
    finally:
        connection.close()


def run(connection: Any, statement: str) -> list[Any]:
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def marks(database_url: str) -> int:
    count: int = past(database_url, "SELECT count(*) FROM marks")[0][0]
    return count


def eventually(condition: Any) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_it_passes_everything_on_and_counts(proxy: FaultProxy, database: str, database_url: str) -> None:
    connection = psycopg2.connect(proxy.url_of(database))
    run(connection, INSERT)
    assert run(connection, "SELECT mark FROM marks") == [(1,)]
    large = run(connection, f"SELECT '{'x' * 1_000_000}'")
    assert len(large[0][0]) == 1_000_000
    connection.close()
    past(proxy.url_of(database), "SELECT 2")
    assert proxy.connections == 2
    assert proxy.statements()[:2] == [INSERT, "SELECT mark FROM marks"]
    assert proxy.statements("mark") == proxy.statements()[:2]
    eventually(lambda: proxy.connections_open == 0)
    proxy.forget()
    assert (proxy.connections, proxy.statements()) == (0, [])


@pytest.mark.parametrize("passing", [0, 10, 0.5])
def test_a_cut_before_or_inside_a_statement_leaves_it_undone(
    proxy: FaultProxy, database: str, database_url: str, passing: float
) -> None:
    proxy.add(Rule(On(statement="INSERT"), Cut(passing)))
    with pytest.raises(psycopg2.OperationalError, match="closed the connection"):
        past(proxy.url_of(database), INSERT)
    assert marks(database_url) == 0


@pytest.mark.parametrize("kind", ["C", "Z"])
def test_a_cut_before_the_answer_leaves_it_done(
    proxy: FaultProxy, database: str, database_url: str, kind: str
) -> None:
    proxy.add(Rule(On(Side.SERVER, kind=kind, statement="INSERT"), Cut()))
    with pytest.raises(psycopg2.OperationalError, match="closed the connection"):
        past(proxy.url_of(database), INSERT)
    assert marks(database_url) == 1


def test_a_statement_cut_off_behind_its_last_byte_is_still_done(
    proxy: FaultProxy, database: str, database_url: str
) -> None:
    proxy.add(Rule(On(statement="INSERT"), Cut(1.0)))
    with pytest.raises(psycopg2.OperationalError, match="closed the connection"):
        past(proxy.url_of(database), INSERT)
    eventually(lambda: marks(database_url) == 1)


@pytest.mark.parametrize("server_does_it", [False, True])
def test_an_error_in_place_of_the_answer_leaves_the_connection_usable(
    proxy: FaultProxy, database: str, database_url: str, server_does_it: bool
) -> None:
    error = ServerError("could not serialize access", "40001")
    proxy.add(Rule(On(statement="INSERT"), Answer(error, server_does_it=server_does_it)))
    connection = psycopg2.connect(proxy.url_of(database))
    with pytest.raises(errors.SerializationFailure, match="could not serialize access"):
        run(connection, INSERT)
    assert run(connection, "SELECT count(*) FROM marks") == [(int(server_does_it),)]
    connection.close()


def test_an_error_inside_a_transaction_leaves_it_failed(proxy: FaultProxy, database: str) -> None:
    proxy.add(Rule(On(statement="INSERT"), Answer(ServerError("deadlock detected", "40P01"))))
    connection = psycopg2.connect(proxy.url_of(database))
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    with pytest.raises(errors.DeadlockDetected):
        cursor.execute(INSERT)
    assert connection.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_INERROR
    connection.rollback()
    cursor.execute(INSERT)
    connection.close()


def test_a_fatal_error_ends_the_connection(proxy: FaultProxy, database: str) -> None:
    fatal = ServerError("terminating connection due to administrator command", "57P01", "FATAL")
    proxy.add(Rule(On(statement="SELECT"), Answer(fatal)))
    connection = psycopg2.connect(proxy.url_of(database))
    with pytest.raises(psycopg2.OperationalError):
        run(connection, "SELECT 1")
    assert connection.closed


@pytest.mark.parametrize("severity", ["ERROR", "FATAL"])
def test_a_refusal_at_connect_carries_the_server_s_words(
    proxy: FaultProxy, database: str, severity: str
) -> None:
    refusal = ServerError("sorry, too many clients already", "53300", severity)
    placed = proxy.add(Rule(On(kind="Startup"), Answer(refusal), times=2))
    for _ in range(2):
        with pytest.raises(psycopg2.OperationalError, match="too many clients"):
            psycopg2.connect(proxy.url_of(database))
    psycopg2.connect(proxy.url_of(database)).close()
    assert placed.struck == 2


def test_a_rule_waits_for_the_nth_message(proxy: FaultProxy, database: str) -> None:
    proxy.add(Rule(On(statement="SELECT", nth=3), Cut()))
    connection = psycopg2.connect(proxy.url_of(database))
    run(connection, "SELECT 1")
    run(connection, "SELECT 2")
    with pytest.raises(psycopg2.OperationalError):
        run(connection, "SELECT 3")
    past(proxy.url_of(database), "SELECT 4")


def test_silence_is_kept_until_the_client_goes(proxy: FaultProxy, database: str, database_url: str) -> None:
    placed = proxy.add(Rule(On(statement="INSERT"), Silence()))
    connection = psycopg2.connect(proxy.url_of(database))
    failed: list[BaseException] = []

    def insert() -> None:
        try:
            run(connection, INSERT)
        except psycopg2.Error as error:
            failed.append(error)

    thread = threading.Thread(target=insert)
    thread.start()
    eventually(lambda: placed.struck)
    thread.join(0.2)
    assert thread.is_alive()
    assert marks(database_url) == 0
    proxy.sever()
    thread.join(WAIT_SECONDS)
    assert failed
    assert proxy.connections_open == 0


def test_a_delay_holds_back_and_loses_nothing(proxy: FaultProxy, database: str) -> None:
    connection = psycopg2.connect(proxy.url_of(database))
    proxy.add(Rule(On(Side.SERVER, kind="T"), Delay(0.2)))
    started = time.monotonic()
    assert run(connection, "SELECT 1") == [(1,)]
    assert time.monotonic() - started >= 0.2
    connection.close()


def until_ready(client: socket.socket) -> bytes:
    received = b""
    while not re.search(rb"Z\0\0\0\x05[ITE]$", received):
        piece = client.recv(65536)
        assert piece, received
        received += piece
    return received


def test_a_reset_is_a_reset(proxy: FaultProxy, database: str) -> None:
    proxy.add(Rule(On(kind="Q"), Cut(reset=True)))
    client = raw_session(proxy.url_of(database), WAIT_SECONDS)
    with client:
        client.sendall(message("Q", b"SELECT 1\0"))
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def extended(statement: str) -> bytes:
    """One question of the extended protocol: parse, bind, execute, sync."""
    return (
        message("P", b"\0" + statement.encode() + b"\0\0\0")
        + message("B", b"\0\0\0\0\0\0\0\0")
        + message("E", b"\0\0\0\0\0")
        + message("S", b"")
    )


@pytest.mark.parametrize("server_does_it", [False, True])
def test_the_extended_protocol_is_answered_once_a_question(
    proxy: FaultProxy, database: str, database_url: str, server_does_it: bool
) -> None:
    error = Answer(ServerError("no", "40001"), server_does_it=server_does_it)
    proxy.add(Rule(On(kind="P", statement="INSERT"), error))
    with raw_session(proxy.url_of(database), WAIT_SECONDS) as client:
        client.sendall(extended(INSERT))
        refused = until_ready(client)
        assert (refused.count(b"C40001"), refused[:1]) == (1, b"E")
        client.sendall(extended("SELECT 42"))
        assert b"42" in until_ready(client)
    assert marks(database_url) == server_does_it
    assert proxy.statements() == [INSERT, "SELECT 42"]


def test_a_closed_listener_refuses_and_comes_back_on_its_port(proxy: FaultProxy, database: str) -> None:
    connection = psycopg2.connect(proxy.url_of(database))
    port = proxy.port
    proxy.refuse()
    with pytest.raises(psycopg2.OperationalError, match="Connection refused"):
        psycopg2.connect(proxy.url_of(database))
    assert run(connection, "SELECT 1") == [(1,)]
    proxy.accept()
    assert proxy.port == port
    past(proxy.url_of(database), "SELECT 1")
    proxy.sever()
    with pytest.raises(psycopg2.OperationalError):
        run(connection, "SELECT 1")


def test_a_server_that_is_not_there_ends_the_client_s_connection(postgres_server: EmbeddedPostgres) -> None:
    with FaultProxy("127.0.0.1", 1) as proxy, pytest.raises(psycopg2.OperationalError, match="closed"):
        psycopg2.connect(proxy.url_of("ballast"))


def test_it_breaks_redis_too(redis_server: EmbeddedRedis) -> None:
    with FaultProxy("127.0.0.1", redis_server.port, wire=Wire.BYTES, login=redis_server.login) as proxy:
        client = redis.Redis.from_url(f"{proxy.url}/0", socket_timeout=WAIT_SECONDS, retry=None)
        client.set("proxied", "1")
        assert client.get("proxied") == b"1"

        proxy.add(Rule(On(statement="GET"), Cut(reset=True)))
        with pytest.raises(redis.ConnectionError):
            client.get("proxied")
        assert client.get("proxied") == b"1"

        proxy.add(Rule(On(statement="GET"), Answer(b"-LOADING the dataset\r\n", ends=False)))
        with pytest.raises(redis.exceptions.BusyLoadingError):
            client.get("proxied")

        proxy.add(Rule(On(Side.SERVER), Delay(0.1)))
        assert client.get("proxied") == b"1"

        proxy.add(Rule(On(statement="GET"), Silence()))
        hasty = redis.Redis.from_url(f"{proxy.url}/0", socket_timeout=0.2, retry=None)
        with pytest.raises(redis.TimeoutError):
            hasty.get("proxied")
        client.delete("proxied")
        client.close()
        hasty.close()


def test_a_frozen_server_answers_again_when_thawed(postgres_server: EmbeddedPostgres) -> None:
    pid = postgres_server.pid
    assert pid is not None
    with frozen_server(pid):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert len(children) > 2
        assert {state_of(process) for process in [pid, *map(int, children)]} <= {"T", "Z"}
    past(postgres_server.url, "SELECT 1")


def test_the_thaw_comes_also_when_the_freezer_is_killed() -> None:
    """Or a test run that was killed would leave stopped servers behind, deaf to the signal of their parent's death."""
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        script = (
            "import sys, time\n"
            "from devstack.proxy import frozen\n"
            f"with frozen({sleeper.pid}):\n"
            "    print('frozen', flush=True)\n"
            "    time.sleep(600)\n"
        )
        freezer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert freezer.stdout is not None
        with freezer:
            assert freezer.stdout.readline() == b"frozen\n"
            assert state_of(sleeper.pid) == "T"
            freezer.kill()
        eventually(lambda: state_of(sleeper.pid) != "T")
        sleeper.kill()


def test_freezing_what_is_not_there_says_so_and_thaws_the_rest() -> None:
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        with pytest.raises(ProcessLookupError), frozen(sleeper.pid, 2**22 - 1):
            pass
        assert state_of(sleeper.pid) != "T"
        sleeper.kill()


def test_by_hand_it_prints_what_passes_and_breaks_it(
    postgres_server: EmbeddedPostgres, database: str, database_url: str
) -> None:
    options = ["--to", f"127.0.0.1:{postgres_server.port}", "--lose", "INSERT", "--times", "1"]
    proxy = subprocess.Popen(
        [sys.executable, "-m", "devstack.proxy", *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert proxy.stdout is not None
    with proxy:
        port = proxy.stdout.readline().split()[0].rpartition(":")[2]
        url = f"postgresql://{postgres_server.login}@127.0.0.1:{port}/{database}"
        with pytest.raises(psycopg2.OperationalError):
            past(url, INSERT)
        past(url, "SELECT 'through'")
        proxy.send_signal(signal.SIGINT)
        printed, _ = proxy.communicate(timeout=WAIT_SECONDS)
    assert proxy.returncode == 0
    assert marks(database_url) == 1
    assert re.search(r"client Startup", printed)
    assert re.search(r"client Q .*SELECT 'through'", printed)
