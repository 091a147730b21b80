"""The private parts of SQLAlchemy that the guard needs, because nothing public does the same: all of them, and no
other module touches one.

tests/dbcore/guard/test_sqlalchemy_internals.py says what each does, so that a release of SQLAlchemy that changes one
fails there, by its name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, Pool, QueuePool
from sqlalchemy.engine.base import OptionEngine
from sqlalchemy.exc import ResourceClosedError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.pool.base import _ConnectionRecord
from sqlalchemy.util.queue import Empty

from dbcore.guard import deadline

ConnectionRecord = _ConnectionRecord
"""What a pool keeps for each connection; a subclass hears of its check-out and check-in."""


class ClosedConnection(Connection):
    """A connection that says `when_closed` if it is used after it was closed."""

    when_closed: str

    def _revalidate_connection(self) -> Any:
        try:
            return super()._revalidate_connection()
        except ResourceClosedError:
            raise ResourceClosedError(self.when_closed) from None


class DeadlinePool(Pool):
    """Goes before a pool's class: who waits for a free connection waits no longer than their deadline allows."""

    @property
    def _timeout(self) -> float:
        seconds: float = self.__dict__["_timeout"]
        return min(seconds, deadline.remaining_seconds())

    @_timeout.setter
    def _timeout(self, seconds: float) -> None:
        self.__dict__["_timeout"] = seconds

    def recreate(self) -> Any:
        pool = super().recreate()
        if "_timeout" in self.__dict__:  # else this moment's would be the new one's for good
            pool.__dict__["_timeout"] = self.__dict__["_timeout"]
        return pool


class RecordingPool(DeadlinePool):
    """The same for a pool with records of its own, which `new_record` makes."""

    def new_record(self) -> ConnectionPoolEntry:
        raise NotImplementedError

    def _create_connection(self) -> ConnectionPoolEntry:
        return self.new_record()


def engine_behind(engine: Engine) -> Engine:
    """The engine of which `execution_options` made this one; itself, if it is one's own."""
    while isinstance(engine, OptionEngine):
        engine = engine._proxied
    return engine


def use_connection_class(engine: Engine, connection_class: type[Connection]) -> None:
    """Have `engine.connect()` return these."""
    engine._connection_cls = connection_class


def set_creator(pool: Pool, creator: Callable[..., Any]) -> None:
    """creator -- takes a record, returns a connection of the driver."""
    pool._creator = creator


def creator_of(pool: Pool) -> Callable[..., Any]:
    """What makes its connections, from a record."""
    return pool._invoke_creator


def pings_before_use(pool: Pool) -> bool:
    """Whether it was made with `pool_pre_ping`."""
    return pool._pre_ping


def record_of(connection: PoolProxiedConnection) -> Any:
    """The record of a connection that is checked out."""
    return connection._connection_record  # of _ConnectionFairy, which it is


def take(pool: Pool) -> ConnectionPoolEntry:
    """A record from the pool, without the proxy, the weak reference and the events that `connect()` puts around one. It
    goes back by `put_back`.
    """
    return pool._do_get()


def connection_of(record: ConnectionPoolEntry) -> Any:
    """The driver's connection of a record that was taken; it is made if there is none."""
    return record.get_connection()  # type: ignore[attr-defined]  # of _ConnectionRecord, which it is


def put_back(pool: Pool, record: ConnectionPoolEntry) -> None:
    pool._do_return_conn(record)


def take_nothing_back(pool: Pool) -> None:
    """Whatever is given back from now on is dropped without waiting for the pool's locks."""
    pool.__dict__["_do_return_conn"] = lambda _record: None


def limit(pool: QueuePool, most: int) -> None:
    """Hold at most as many connections from now on, but no fewer than it keeps."""
    pool._max_overflow = max(0, most - pool.size())


def renew_all(pool: Pool) -> None:
    """No connection that is open now is used again, as after a restart of the server."""
    pool._invalidate_time = time.time()


def close_idle(pool: QueuePool) -> int:
    """Close the connections that nobody has; how many there were."""
    closed = 0
    for _ in range(pool.checkedin()):
        try:
            record = pool._pool.get(False)
        except Empty:
            break
        try:
            record.close()
        finally:
            pool._dec_overflow()
        closed += 1
    return closed
