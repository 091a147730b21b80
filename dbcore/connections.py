"""How connections to PostgreSQL are made and kept, for the guarded engine and for the operator's commands.

Nothing is asked of the server at startup that a transaction pooler refuses (`options`, `statement_timeout`):
time limits are the client's deadline, a `lock_timeout` on the functions that wait for rows, and what the
operator sets on the role.

A pooled connection lies idle in autocommit, so that one statement by the driver's cursor costs one round trip. While
SQLAlchemy has it, its transactions are real, so that `begin()` and `rollback()` are what they say. What its user did to
the session (SET, temporary tables, advisory locks) is undone before the next one gets it.
"""

from __future__ import annotations

import select
import time
from typing import Any, cast

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError, ResourceClosedError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util.queue import Empty

from dbcore import deadline, encryption
from dbcore.database_url import read_database_url
from dbcore.settings import Settings

POOL_TIMEOUT_SECONDS = 2.5
PING = "SELECT 1"
PING_SECONDS_MAX = 1.0
FORGET = (
    "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); "
    "DISCARD TEMP; DEALLOCATE ALL"
)
"""DISCARD ALL, but for the plans of the ledger's functions, which are everybody's and slow to make."""

LOOK_AFTER_IDLE_SECONDS = 0.01
"""A connection that lay idle for less is not looked at: a look costs more than what it finds out of such a moment."""

# libpq's own options. A proxy or firewall that dropped the connection is noticed within seconds, not by TCP's
# two hours.
_LIBPQ: dict[str, str | int] = {
    "connect_timeout": 2,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    # A retry should not go first to the one dead address of several.
    "load_balance_hosts": "random",
}


class CallConnection(Connection):
    """SQLAlchemy's, which says what is wrong when it is used after its call."""

    def _revalidate_connection(self) -> Any:
        try:
            return super()._revalidate_connection()
        except ResourceClosedError:
            raise ResourceClosedError(
                "the guarded call of this connection is over; load all that is needed of it inside the call, such as "
                "by selectinload"
            ) from None


class GuardedPool(QueuePool):
    """Waits for a free connection no longer than the caller's deadline allows, and tries a connection before it is
    relied on where there is reason to doubt it.
    """

    ping_after_idle_seconds = 15.0
    _suspect_before = 0.0

    # SQLAlchemy reads its own `_timeout` at each checkout, and has no other way in; a test pins it.
    @property
    def _timeout(self) -> float:
        return min(self._configured_timeout, deadline.remaining_seconds())

    @_timeout.setter
    def _timeout(self, seconds: float) -> None:
        self._configured_timeout = seconds

    def limit(self, most: int) -> None:
        """Hold at most as many connections from now on, but no fewer than it keeps."""
        # As with `_timeout`: read by SQLAlchemy whenever it opens one, and a test pins it.
        self._max_overflow = max(0, most - self.size())

    def drop_idle(self) -> int:
        """Close the connections that lie idle; how many there were."""
        dropped = 0
        for _ in range(self.checkedin()):
            # As SQLAlchemy lets go of one too many that comes back; a test pins it.
            try:
                entry = self._pool.get(False)
            except Empty:
                break
            try:
                entry.close()
            finally:
                self._dec_overflow()
            dropped += 1
        return dropped

    def suspect(self) -> None:
        """A connection was lost: try each of the others before it is used again. Most often they are lost too, and
        then a restart of the server costs one failed call instead of one a connection.
        """
        self._suspect_before = time.monotonic()

    def lend(self, ping: str = PING) -> ConnectionPoolEntry:
        """A connection for one statement by the driver's own cursor, to be handed in again by `hand_in`.

        ping -- the statement by which it is tried, where there is reason to doubt it.

        What SQLAlchemy's `connect()` puts around one (a proxy, a weak reference, events) takes longer than the rest of
        a guarded call. Raises like `connect()`.
        """
        entry = self._do_get()
        try:
            connection = entry.get_connection()  # type: ignore[attr-defined]  # public on the record itself
            if not self._is_good(connection, entry, ping):
                entry.invalidate()
                entry.get_connection()  # type: ignore[attr-defined]
        except BaseException:
            self._do_return_conn(entry)
            raise
        return entry

    def hand_in(self, entry: ConnectionPoolEntry) -> None:
        self.note_idle(entry.dbapi_connection, entry)
        self._do_return_conn(entry)

    def note_idle(self, connection: Any, entry: ConnectionPoolEntry) -> None:
        """A connection comes back. One that is lost, or left in a transaction that someone opened by hand, goes."""
        if connection is None:
            return
        if connection.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            entry.invalidate()
            return
        entry.info["idle_since"] = time.monotonic()

    def begin_use(self, connection: Any, entry: ConnectionPoolEntry, _proxy: Any) -> None:
        """SQLAlchemy takes one. Raises DisconnectionError, upon which it connects anew, for one that was cut off."""
        if not self._is_good(connection, entry, PING):
            raise DisconnectionError
        connection.set_session(isolation_level="READ COMMITTED", autocommit=False)  # with the next BEGIN

    def end_use(self, connection: Any, entry: ConnectionPoolEntry) -> None:
        """SQLAlchemy brings one back; the session is made as new."""
        self.note_idle(connection, entry)
        if entry.dbapi_connection is None:
            return
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(FORGET)
        except psycopg2.Error:
            entry.invalidate()

    def _is_good(self, connection: Any, entry: ConnectionPoolEntry, ping: str) -> bool:
        """Tried where there is reason to doubt it. One that was cut off is replaced, and is no outage."""
        idle_since = entry.info.get("idle_since")
        if idle_since is None or not self._doubts(connection, idle_since):
            return True
        try:
            with deadline.Deadline(PING_SECONDS_MAX), connection.cursor() as cursor:
                cursor.execute(ping)
        except psycopg2.Error:
            self.suspect()
            return False
        return True

    def _doubts(self, connection: Any, idle_since: float) -> bool:
        if idle_since < self._suspect_before:
            return True
        idle_seconds = time.monotonic() - idle_since
        return idle_seconds >= self.ping_after_idle_seconds or (
            idle_seconds >= LOOK_AFTER_IDLE_SECONDS and _something_came(connection)
        )


def _something_came(connection: Any) -> bool:
    """Whether an idle connection has something to read: the server's farewell, or the end. Costs no round trip,
    and turns most of what would be an unknown outcome into a connection replaced before anything was sent.
    """
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    return bool(poller.poll(0))


def _options(url: str, application_name: str) -> dict[str, Any]:
    """libpq's options, the URL's own being stronger."""
    given = make_url(url).query
    options = {"application_name": application_name, **_LIBPQ}
    return {name: value for name, value in options.items() if name not in given}


def pooled(settings: Settings, *, application_name: str, ping_after_idle_seconds: float) -> Engine:
    """The engine of a process that lives on. Does not connect yet."""
    url = settings.require("database_url")
    engine = create_engine(
        url,
        poolclass=GuardedPool,
        pool_size=settings.db_pool_size,
        max_overflow=settings.db_max_overflow,
        pool_recycle=settings.db_pool_recycle_seconds,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        pool_use_lifo=True,
        pool_reset_on_return=None,  # who uses it ends its transaction; `note_idle` throws away what is not so
        use_native_hstore=False,  # would ask the server for it on each connect
        connect_args=_options(url, application_name),
    )
    encryption.listen(engine)
    engine._connection_cls = CallConnection  # SQLAlchemy has no other way in; a test pins it

    pool = cast(GuardedPool, engine.pool)
    pool.ping_after_idle_seconds = ping_after_idle_seconds

    event.listen(pool, "connect", _autocommit)
    event.listen(pool, "checkin", pool.end_use)
    event.listen(pool, "checkout", pool.begin_use)
    return engine


def _autocommit(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.autocommit = True


def single(url: str, *, application_name: str) -> Engine:
    """An engine of an operator's command: a connection when one is asked for, ordinary transactions."""
    url = read_database_url(url)
    engine = create_engine(
        url,
        poolclass=NullPool,
        use_native_hstore=False,
        connect_args=_options(url, application_name),
    )
    encryption.listen(engine)
    return engine
