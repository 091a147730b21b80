"""How connections to PostgreSQL are made and kept, for the guarded engine and for the operator's commands.

Nothing is asked of the server at startup that a transaction pooler refuses (`options`, `statement_timeout`):
time limits are the client's deadline, a `lock_timeout` on the functions that wait for rows, and what the
operator sets on the role.

A pooled connection lies idle in autocommit, so that one statement by the driver's cursor costs one round trip. While
SQLAlchemy has it, its transactions are real, so that `begin()` and `rollback()` are what they say. What its user did to
the session (SET, temporary tables, advisory locks) is undone before the next one gets it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from dbcore.database_url import read_database_url
from dbcore.errors import UsageError
from dbcore.guard import hand_begun, sqlalchemy_internals, tls
from dbcore.guard.liveness import PING, Liveness
from dbcore.guard.sqlalchemy_internals import ClosedConnection, DeadlinePool
from dbcore.moving import following, whereabouts
from dbcore.qualified_names import translation
from dbcore.settings import Settings

M = TypeVar("M", bound=Callable[..., Any])

POOL_TIMEOUT_SECONDS = 2.5
FORGET = (
    "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); "
    "DISCARD TEMP; DEALLOCATE ALL"
)
"""DISCARD ALL, but for the plans of the ledger's functions, which are everybody's and slow to make."""

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


def unless_held(method: M) -> M:
    """SQLAlchemy's method, which raises UsageError while the guard holds the transaction: `held` of its object."""

    @wraps(method)
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        if self.held:
            raise transaction_is_the_guards(f"{method.__name__}()")
        return method(self, *arguments, **options)

    return cast(M, call)


class CallConnection(ClosedConnection):
    """SQLAlchemy's, which says what is wrong when it is used after its call.

    held -- its transaction belongs to the guard: who has the connection may neither end it nor begin one.
    """

    held = False
    when_closed = (
        "the guarded call of this connection is over; load all that is needed of it inside the call, such as by "
        "selectinload"
    )

    begin = unless_held(Connection.begin)
    commit = unless_held(Connection.commit)
    rollback = unless_held(Connection.rollback)
    close = unless_held(Connection.close)
    detach = unless_held(Connection.detach)


def transaction_is_the_guards(what: str) -> UsageError:
    """What the work of a `transact` hears if it ends, or begins, a transaction by itself. Nothing was sent."""
    return UsageError(
        f"{what} inside transact: the guard commits when the work returns and rolls back when it raises. "
        "begin_nested() makes a savepoint; raise Refuse to roll back with an answer"
    )


class GuardedPool(DeadlinePool, QueuePool):
    """Waits for a free connection no longer than the caller's deadline allows, and tries a connection before it is
    relied on where there is reason to doubt it.
    """

    liveness: Liveness

    def limit(self, most: int) -> None:
        """Hold at most as many connections from now on, but no fewer than it keeps."""
        sqlalchemy_internals.limit(self, most)

    def leave_connections(self) -> None:
        """None that is open now is used again: they lead to where the database was."""
        sqlalchemy_internals.renew_all(self)

    def drop_idle(self) -> int:
        """Close the connections that lie idle; how many there were."""
        return sqlalchemy_internals.close_idle(self)

    def checkout(self, ping: str = PING) -> ConnectionPoolEntry:
        """A connection for one statement by the driver's own cursor, to be given back by `checkin`.

        ping -- the statement by which it is tried, where there is reason to doubt it.

        What SQLAlchemy's `connect()` puts around one (a proxy, a weak reference, events) takes longer than the rest of
        a guarded call. Raises like `connect()`.
        """
        entry = sqlalchemy_internals.take(self)
        try:
            connection = sqlalchemy_internals.connection_of(entry)
            if not self.liveness.is_good(connection, entry.info, ping):
                entry.invalidate()
                sqlalchemy_internals.connection_of(entry)
        except BaseException:
            sqlalchemy_internals.put_back(self, entry)
            raise
        return entry

    def checkin(self, entry: ConnectionPoolEntry) -> None:
        self.note_idle(entry.dbapi_connection, entry)
        sqlalchemy_internals.put_back(self, entry)

    def note_idle(self, connection: Any, entry: ConnectionPoolEntry) -> None:
        """A connection comes back. One that is lost, or left in a transaction that someone opened by hand, goes."""
        if connection is None:
            return
        if connection.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            entry.invalidate()
            return
        self.liveness.note_idle(entry.info)

    def begin_use(self, connection: Any, entry: ConnectionPoolEntry, _proxy: Any) -> None:
        """SQLAlchemy takes one. Raises DisconnectionError, upon which it connects anew, for one that was cut off."""
        if not self.liveness.is_good(connection, entry.info):
            raise DisconnectionError

    def end_use(self, connection: Any, entry: ConnectionPoolEntry) -> None:
        """SQLAlchemy brings one back; the session is made as new."""
        self.note_idle(connection, entry)
        if entry.dbapi_connection is None:
            return
        keeps_session, until = connection.keeps_session, connection.until
        connection.forget_user()
        try:
            if not connection.autocommit:
                # In this order psycopg2 sends nothing, now and when the next one begins.
                connection.isolation_level = None
                connection.autocommit = True
            if not keeps_session:
                connection.until = until
                with connection.cursor() as cursor:
                    cursor.execute(FORGET)
                connection.forget_user()
        except psycopg2.Error:
            entry.invalidate()


def _options(url: str, application_name: str) -> dict[str, Any]:
    """libpq's options, the URL's own being stronger."""
    given = make_url(url).query
    options = {"application_name": application_name, **_LIBPQ}
    return {name: value for name, value in options.items() if name not in given}


def libpq_parameters(url: str, *, application_name: str) -> dict[str, str]:
    """What a program of PostgreSQL's own needs to connect as we do, the password among them."""
    return {name: str(value) for name, value in _parameters(url, application_name).items()}


def _parameters(url: str, application_name: str) -> dict[str, Any]:
    """Of the driver."""
    parsed = make_url(read_database_url(url))
    _, given = parsed.get_dialect()().create_connect_args(parsed)
    return {**_options(str(parsed), application_name), **given}


def _connect_by_tls_and_follow(
    engine: Engine, url: str, application_name: str, schema: str | None, factories: dict[str, Any]
) -> None:
    """Its connections keep deadlines, and lead to where the database is by then."""
    preference = tls.PreferTls()

    def elsewhere(address: str) -> dict[str, Any]:
        return {**_parameters(address, application_name), **factories}

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Dialect, _record: object, arguments: Any, parameters: dict[str, Any]) -> Any:
        return following.connected(preference.connect, url, arguments, parameters, elsewhere, schema)


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
        connect_args={**_options(url, application_name), **hand_begun.FACTORIES},
        execution_options={"schema_translate_map": translation(settings.ballast_schema)},
    )
    _connect_by_tls_and_follow(engine, url, application_name, settings.ballast_schema, hand_begun.FACTORIES)
    sqlalchemy_internals.use_connection_class(engine, CallConnection)

    pool = cast(GuardedPool, engine.pool)
    pool.liveness = Liveness(ping_after_idle_seconds)
    whereabouts.tell(pool)

    event.listen(pool, "connect", _autocommit)
    event.listen(pool, "checkin", pool.end_use)
    event.listen(pool, "checkout", pool.begin_use)
    return engine


def _autocommit(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.autocommit = True


def single(url: str, *, application_name: str, schema: str | None = None) -> Engine:
    """An engine of an operator's command: a connection when one is asked for, ordinary transactions.

    schema -- BALLAST_SCHEMA.
    """
    url = read_database_url(url)
    engine = create_engine(
        url,
        poolclass=NullPool,
        use_native_hstore=False,
        connect_args=_options(url, application_name),
        execution_options={"schema_translate_map": translation(schema)},
    )
    _connect_by_tls_and_follow(engine, url, application_name, schema, {})
    return engine
