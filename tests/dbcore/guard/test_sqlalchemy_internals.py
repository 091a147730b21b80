"""What the guard needs of SQLAlchemy's private parts is still so, and one module alone touches them."""

from __future__ import annotations

import ast
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, QueuePool, create_engine, text
from sqlalchemy.exc import ResourceClosedError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry

from dbcore.guard import deadline, sqlalchemy_internals
from dbcore.guard.sqlalchemy_internals import ClosedConnection, ConnectionRecord, DeadlinePool, RecordingPool

ROOT = Path(__file__).parents[3]
PACKAGES = ("dbcore", "ballast", "bot_frontend", "workers")


class Pool(DeadlinePool, QueuePool):
    pass


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(connected, pool_size=1, max_overflow=1, timeout=30)
    yield made
    made.dispose()


def connected() -> Any:
    return sqlite3.connect(":memory:", check_same_thread=False)


def test_one_module_alone_touches_the_private_parts_of_sqlalchemy() -> None:
    own = Path(sqlalchemy_internals.__file__)
    private = {name for name, _ in touched(own)}
    assert {"_timeout", "_do_get", "_invoke_creator", "_connection_cls"} <= private
    elsewhere = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path != own
        for name, line in touched(path)
        if name in private or name.startswith("sqlalchemy.")
    ]
    assert elsewhere == []


def touched(path: Path) -> Iterator[tuple[str, int]]:
    """Private attributes of anything but the own object, methods that override one, and private names of SQLAlchemy."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                yield node.attr, node.lineno
        elif isinstance(node, ast.ClassDef) and any("Pool" in ast.unparse(base) for base in node.bases):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and is_private(method.name):
                    yield method.name, method.lineno
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy"):
            yield from (
                (f"{node.module}.{each.name}", node.lineno) for each in node.names if is_private(each.name)
            )


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_a_full_pool_keeps_its_caller_no_longer_than_their_deadline(pool: Pool) -> None:
    held = [pool.connect(), pool.connect()]
    began = time.monotonic()
    with deadline.Deadline(0.05), pytest.raises(PoolTimeoutError):
        pool.connect()
    assert time.monotonic() - began < 15, "or the pool's own 30 s"
    for each in held:
        each.close()


def test_a_pool_made_anew_has_the_seconds_of_the_one_before_and_not_those_that_were_left(pool: Pool) -> None:
    with deadline.Deadline(0.05):
        assert pool.timeout() <= 0.05
        again: Any = pool.recreate()
    assert again.timeout() == 30


def test_a_pool_makes_the_records_that_it_is_to_make() -> None:
    class Record(ConnectionRecord):
        pass

    class Recording(RecordingPool, QueuePool):
        def new_record(self) -> ConnectionPoolEntry:
            return Record(self)

    made = Recording(connected)
    with closing(made.connect()) as connection:
        assert isinstance(sqlalchemy_internals.record_of(connection), Record)
    made.dispose()


def test_a_closed_connection_says_what_is_wrong() -> None:
    class Closed(ClosedConnection):
        when_closed = "its call is over"

    engine = create_engine("sqlite://")
    sqlalchemy_internals.use_connection_class(engine, Closed)
    with engine.connect() as connection:
        pass
    with pytest.raises(ResourceClosedError, match="its call is over"):
        connection.execute(text("SELECT 1"))


def test_the_engine_behind_one_with_options_is_found() -> None:
    engine = create_engine("sqlite://")
    other: Engine = engine.execution_options(one=1).execution_options(two=2)
    assert other is not engine
    assert sqlalchemy_internals.engine_behind(other) is engine
    assert sqlalchemy_internals.engine_behind(engine) is engine


def test_a_pool_connects_by_the_creator_that_it_is_given(pool: Pool) -> None:
    before, made = sqlalchemy_internals.creator_of(pool), []

    def creator(record: ConnectionPoolEntry) -> Any:
        made.append(record)
        return before(record)

    sqlalchemy_internals.set_creator(pool, creator)
    pool.connect().close()
    assert len(made) == 1


def test_a_pool_says_whether_it_pings() -> None:
    assert sqlalchemy_internals.pings_before_use(QueuePool(connected, pre_ping=True))
    assert not sqlalchemy_internals.pings_before_use(QueuePool(connected))


def test_a_record_is_taken_and_put_back(pool: Pool) -> None:
    record = sqlalchemy_internals.take(pool)
    assert pool.checkedout() == 1
    first = sqlalchemy_internals.connection_of(record)
    sqlalchemy_internals.put_back(pool, record)
    assert pool.checkedout() == 0
    assert sqlalchemy_internals.connection_of(sqlalchemy_internals.take(pool)) is first


def test_a_pool_that_takes_nothing_back_keeps_nothing(pool: Pool) -> None:
    connection = pool.connect()
    sqlalchemy_internals.take_nothing_back(pool)
    connection.close()
    assert pool.checkedin() == 0


def test_a_pool_holds_no_more_than_its_limit(pool: Pool) -> None:
    sqlalchemy_internals.limit(pool, 1)
    held = pool.connect()
    with deadline.Deadline(0.05), pytest.raises(PoolTimeoutError):
        pool.connect()
    sqlalchemy_internals.limit(pool, 2)
    pool.connect().close()
    held.close()


def test_connections_from_before_are_renewed(pool: Pool) -> None:
    with closing(pool.connect()) as connection:
        before = connection.dbapi_connection
    sqlalchemy_internals.renew_all(pool)
    assert pool.connect().dbapi_connection is not before


def test_idle_connections_are_closed_and_counted_and_the_pool_is_as_wide_as_before(pool: Pool) -> None:
    held = pool.connect()
    pool.connect().close()
    idle = pool.checkedin()
    assert sqlalchemy_internals.close_idle(pool) == idle == 1
    assert (pool.checkedin(), pool.checkedout()) == (0, 1)
    pool.connect().close()
    held.close()
