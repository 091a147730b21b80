from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg2
import pytest
from psycopg2.extras import DictCursor, LoggingConnection, NamedTupleCursor, RealDictCursor
from sqlalchemy import Connection, Engine, NullPool, StaticPool, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from dbcore.breaker.local import Breaker
from dbcore.errors import Unavailable, UsageError
from dbcore.failures import FailureKind
from dbcore.guard.attached import attach_engine
from dbcore.guard.deadline import Deadline, bounded_cursor
from devstack.proxy import frozen
from tests.dbcore.guard.attaching import (
    STATEMENT_SECONDS,
    answers,
    attached,
    checked_out,
    pid_of,
    plain_engine,
)

Act = Callable[[Connection], object]


def _streamed(connection: Connection) -> Any:
    streaming = connection.execution_options(yield_per=10)
    rows = streaming.execute(text("SELECT generate_series(1, 99999)"))
    next(rows)
    return rows


def _with_large_object(connection: Connection) -> Any:
    driver: Any = connection.connection.dbapi_connection
    return driver.lobject()


def _two_phase(connection: Connection) -> Any:
    connection.rollback()
    driver: Any = connection.connection.dbapi_connection
    driver.tpc_begin(driver.xid(1, f"x{os.getpid()}", "q"))
    driver.cursor().execute("SELECT 1")
    return driver


# What is done before the backend is frozen, whose result the wait gets; and the wait.
WAITS: dict[str, tuple[Act, Callable[[Any], object]]] = {
    "execute": (lambda c: c, lambda c: c.execute(text("SELECT 1"))),
    "executemany": (
        lambda c: c.execute(text("CREATE TEMP TABLE x (y int)")) and c,
        lambda c: c.execute(text("INSERT INTO x VALUES (:y)"), [{"y": 1}, {"y": 2}]),
    ),
    "commit": (lambda c: c, lambda c: c.commit()),
    "savepoint": (lambda c: c, lambda c: c.begin_nested()),
    "rollback": (lambda c: c, lambda c: c.rollback()),
    "reset on return": (lambda c: c, lambda c: c.close()),
    "rows of a stream": (_streamed, lambda rows: rows.fetchall()),
    "end of a stream": (_streamed, lambda rows: rows.close()),
    "driver's cursor": (lambda c: c.connection.cursor(), lambda cursor: cursor.execute("SELECT 1")),
    "other class of cursor": (
        lambda c: c.connection.cursor(cursor_factory=RealDictCursor),
        lambda cursor: cursor.execute("SELECT 1"),
    ),
    "named cursor of another class": (
        lambda c: c.connection.cursor("rows", cursor_factory=NamedTupleCursor),
        lambda cursor: cursor.execute("SELECT 1"),
    ),
    "COPY out": (
        lambda c: c.connection.cursor(),
        lambda cursor: cursor.copy_expert("COPY (SELECT 1) TO STDOUT", io.StringIO()),
    ),
    "COPY in": (
        lambda c: c.execute(text("CREATE TEMP TABLE x (y int)")) and c.connection.cursor(),
        lambda cursor: cursor.copy_from(io.BytesIO(b"1\n"), "x"),
    ),
    "callproc": (lambda c: c.connection.cursor(), lambda cursor: cursor.callproc("pg_backend_pid")),
    "reset": (lambda c: c.connection.dbapi_connection, lambda driver: driver.reset()),
    "tpc_prepare": (_two_phase, lambda driver: driver.tpc_prepare()),
    "tpc_commit": (_two_phase, lambda driver: driver.tpc_commit()),
    "large object": (_with_large_object, lambda large: large.write("x")),
}
SILENT = {"rollback", "reset on return", "end of a stream"}


def failure_of(wait: Callable[[Any], object], prepared: object) -> Exception | None:
    try:
        wait(prepared)
    except (DBAPIError, psycopg2.Error) as error:
        return error
    return None


def test_every_wait_for_a_frozen_server_ends_at_the_deadline(database_url: str) -> None:
    with attached(database_url) as app:
        for name, (prepare, wait) in WAITS.items():
            connection = app.engine.connect()
            with suppress(DBAPIError, psycopg2.Error), connection:
                pid = pid_of(connection)
                prepared = prepare(connection)
                with frozen(pid):
                    failure = failure_of(wait, prepared)
                    assert ("timeout expired" in str(failure)) is (name not in SILENT), (name, failure)
                    connection.close()  # which waits for nobody either
            assert answers(app.engine), name
        assert checked_out(app.engine) == 0


def test_a_stream_has_the_time_for_each_piece_and_not_for_the_whole(database_url: str) -> None:
    pauses = 5
    assert pauses * 0.1 > STATEMENT_SECONDS

    class Slow(io.StringIO):
        def read(self, size: int | None = -1) -> str:
            time.sleep(0.1)
            return super().read(3)

    with attached(database_url) as app, app.engine.connect() as connection:
        rows = connection.execution_options(yield_per=5).execute(
            text("SELECT pg_sleep(0.02), x FROM generate_series(1, 30) x")
        )
        assert [row.x for row in rows] == list(range(1, 31))

        cursor = connection.connection.cursor()
        copied = io.StringIO()
        # Long lines, so that the server sends each as it is there.
        cursor.copy_expert(
            f"COPY (SELECT repeat('x', 20000), pg_sleep(0.1) FROM generate_series(1, {pauses})) TO STDOUT",
            copied,
        )
        assert copied.getvalue().count("\n") == pauses
        cursor.execute("CREATE TEMP TABLE copied (x int)")
        cursor.copy_expert("COPY copied FROM STDIN", Slow("12\n" * pauses))
        cursor.execute("SELECT count(*) FROM copied")
        assert cursor.fetchone() == (pauses,)


def test_a_long_statement_takes_its_time_by_execution_option_and_the_next_one_has_the_usual(
    database_url: str,
) -> None:
    long = text(f"SELECT pg_sleep({1.3 * STATEMENT_SECONDS}), 7")
    with attached(database_url, pool_size=1) as app:
        with app.engine.connect() as connection:
            assert connection.execute(long.execution_options(statement_seconds=60)).one()[1] == 7
        with app.engine.execution_options(statement_seconds=None).connect() as connection:
            assert connection.execute(long).one()[1] == 7
            connection.commit()
        with Session(app.engine) as session:
            assert session.execute(long, execution_options={"statement_seconds": None}).one()[1] == 7
        with app.engine.connect().execution_options(statement_seconds=None) as connection:
            sent = io.StringIO()
            connection.connection.cursor().copy_expert(f"COPY ({long}) TO STDOUT", sent)
            assert sent.getvalue() == "\t7\n"
        assert app.breaker.snapshot().slow_calls == 0
        with app.engine.connect() as connection, pytest.raises(OperationalError, match="timeout expired"):
            connection.execute(long)
        with app.engine.connect() as connection, pytest.raises(OperationalError, match="timeout expired"):
            connection.execute(text("SELECT pg_sleep(60)").execution_options(statement_seconds=0.05))
        with (
            app.engine.connect() as connection,
            Deadline(0.05),
            pytest.raises(OperationalError, match="timeout"),
        ):
            connection.execute(text("SELECT pg_sleep(60)"))


@pytest.mark.parametrize("options", [{}, {"pool_pre_ping": True}], ids=["as it is", "with pre-ping"])
def test_an_idle_connection_that_is_frozen_is_replaced_at_checkout(
    database_url: str, options: dict[str, Any]
) -> None:
    with attached(database_url, ping_after_idle_seconds=0.0, **options) as app:
        with app.engine.connect() as connection:
            pid = pid_of(connection)
        with frozen(pid), app.engine.connect() as connection:
            assert pid_of(connection) != pid
        assert app.breaker.snapshot().failures == 0


def by_creator(url: str) -> Engine:
    return plain_engine("", creator=lambda: psycopg2.connect(url))


def with_class_of_cursor(url: str) -> Engine:
    return plain_engine(url, connect_args={"cursor_factory": DictCursor})


def with_class_of_connection(url: str) -> Engine:
    def logs(connection: LoggingConnection, _record: object) -> None:
        connection.initialize(io.StringIO())

    engine = plain_engine(url, connect_args={"connection_factory": LoggingConnection})
    event.listen(engine, "connect", logs, insert=True)
    return engine


def with_token(url: str) -> Engine:
    """Its password comes from a listener, as those of IAM and Vault do."""
    engine = plain_engine(make_url(url).set(password="wrong").render_as_string(hide_password=False))
    event.listen(engine, "do_connect", _give_token(make_url(url).password))
    return engine


def _give_token(token: Any) -> Callable[..., None]:
    def give(_dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]) -> None:
        parameters["password"] = token

    return give


def without_pool(url: str) -> Engine:
    return create_engine(make_url(url).set(drivername="postgresql+psycopg2"), poolclass=NullPool)


@pytest.mark.parametrize(
    "make", [by_creator, with_class_of_cursor, with_class_of_connection, with_token, without_pool]
)
def test_however_an_engine_connects_its_connections_keep_deadlines(
    database_url: str, make: Callable[[str], Engine]
) -> None:
    engine = make(database_url)
    assert answers(engine)  # warm before it is attached
    with attached("", engine=engine) as app:

        def frozen_one(use: Engine) -> None:
            with use.connect() as connection, frozen(pid_of(connection)), pytest.raises(Unavailable):
                connection.execute(text("SELECT 1"))

        frozen_one(engine)
        engine.dispose()
        frozen_one(engine.execution_options(isolation_level="SERIALIZABLE"))
        raw = engine.raw_connection()
        driver: Any = raw.dbapi_connection
        with frozen(driver.info.backend_pid), pytest.raises(psycopg2.OperationalError, match="timeout"):
            raw.cursor().execute("SELECT 1")
        raw.close()
        assert answers(engine)
        assert len(app.opened) >= 2


def test_what_an_app_s_own_classes_add_stays(database_url: str) -> None:
    with attached("", engine=with_class_of_cursor(database_url)) as app:
        raw = app.engine.raw_connection()
        cursor: Any = raw.cursor()
        cursor.execute("SELECT 1 AS one")
        assert cursor.fetchone()["one"] == 1
        named: Any = raw.cursor("named")
        named.execute("SELECT x FROM generate_series(1, 3) x")
        assert [row["x"] for row in named] == [1, 2, 3]
        raw.close()
    logged = io.StringIO()
    engine = plain_engine(database_url, connect_args={"connection_factory": LoggingConnection})
    event.listen(engine, "connect", lambda connection, _: connection.initialize(logged), insert=True)
    with attached("", engine=engine) as app:
        assert answers(app.engine)
        assert "SELECT 7" in logged.getvalue()


def test_a_connect_that_hangs_ends_in_time_and_is_an_outage() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://x@127.0.0.1:{silent.getsockname()[1]}/x"
        with attached(url, connect_seconds=0.2) as app:
            with pytest.raises(OperationalError) as raised:
                app.engine.connect()
            assert isinstance(raised.value, Unavailable)
            assert raised.value.kind is FailureKind.OUTAGE
            assert checked_out(app.engine) == 0


def test_a_wait_for_the_pool_ends_by_the_thread_s_deadline(database_url: str) -> None:
    with attached(database_url, pool_size=1, pool_timeout=600) as app:
        app.engine.dispose()  # its place is taken by a pool of the same kind
        with app.engine.connect(), Deadline(0.2), pytest.raises(Unavailable) as raised:
            app.engine.connect()
        assert raised.value.kind is FailureKind.SATURATION


def test_other_connections_of_the_process_are_psycopg2_s_own(database_url: str) -> None:
    with attached(database_url) as app:
        assert answers(app.engine)
        own = psycopg2.connect(database_url)
        assert type(own) is psycopg2.extensions.connection
        own.close()


def test_an_engine_that_cannot_be_guarded_is_refused(database_url: str) -> None:
    breaker = Breaker(clock=time.monotonic)
    with attached(database_url) as app:
        attachment = attach_engine(app.engine, breaker=app.breaker)
        options = app.engine.execution_options(isolation_level="AUTOCOMMIT")
        assert attach_engine(options, breaker=app.breaker) is attachment
        with pytest.raises(UsageError, match="another breaker"):
            attach_engine(app.engine, breaker=breaker)
    for engine in (
        create_engine("sqlite://"),
        create_engine("postgresql+psycopg2://", poolclass=StaticPool, creator=lambda: None),
    ):
        with pytest.raises(UsageError):
            attach_engine(engine, breaker=breaker)
    before = psycopg2.connect(database_url)
    with (
        attached("", engine=plain_engine("", creator=lambda: before)) as app,
        pytest.raises(UsageError, match="cannot be given a deadline"),
    ):
        app.engine.connect()
    before.close()
    with pytest.raises(TypeError, match="is no class of psycopg2's"):
        bounded_cursor(lambda *_: None, named=False)
