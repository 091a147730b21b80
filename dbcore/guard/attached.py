"""Guards an Engine of SQLAlchemy's that is there already; the code that uses it stays as it is.

    engine.connect() ──▶ breaker ──▶ pool ──▶ connection that is alive ──▶ statements, each with a deadline
                          ▲ refused, before the pool is asked                  │ how each ended, by kind
                          └────────────────────────────────────────────────────┘

- The breaker is asked once for each checkout. What was let in is let finish: statements and COMMIT on a connection that
  is held are never refused. A second checkout of the same thread is a checkout like any other.
- Every wait for the server is bounded (dbcore/guard/deadline.py), also on connections that come from the engine's own
  `creator` or a listener of `do_connect`, and on `raw_connection()`.
- Errors are SQLAlchemy's, and Unavailable or OutcomeUnknown besides, if the database gave no answer.
- Nothing is ever sent again. Only a connection that is found dead at checkout is replaced, before anything was sent.
- A forked child begins with an empty pool and a closed breaker, and leaves the parent's connections alone.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable
from contextvars import copy_context
from functools import lru_cache, partial
from typing import Any, cast

import psycopg2
from sqlalchemy import AssertionPool, Engine, NullPool, Pool, QueuePool, event
from sqlalchemy.engine import Dialect, ExceptionContext
from sqlalchemy.engine.characteristics import ConnectionCharacteristic
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from dbcore.breaker.local import REASONS, Breaker, Permit, Refusal
from dbcore.breaker.rules import KINDS
from dbcore.errors import UsageError
from dbcore.failures import FailureKind, Phase
from dbcore.guard import deadline, sqlalchemy_internals
from dbcore.guard.attempts import ClassifiedError, failure_of, failure_on
from dbcore.guard.bounded_connects import bounded_connects
from dbcore.guard.deadline import Deadline
from dbcore.guard.engine import log_transition
from dbcore.guard.liveness import PING_SECONDS_MAX, Liveness
from dbcore.guard.sqlalchemy_errors import also_ours
from dbcore.guard.sqlalchemy_internals import ConnectionRecord, RecordingPool
from dbcore.moving import following

OPTION = "statement_seconds"
"""The execution option, of a statement, a connection or an engine: its own deadline; None: no deadline."""

_RETRY_AFTER_SECONDS = 1.0
_ANSWERS = frozenset({FailureKind.SLOW, FailureKind.CONFIGURATION})
"""With a SQLSTATE of a statement's these are the server's answer to its caller: `NOWAIT`, a `statement_timeout` of the
caller's, a table that they may not read. The database is well."""
_READ_ONLY = "25006"
_CALLERS_IDLING = "due to idle-in-transaction timeout"
_UNSET = object()


def attach_engine(
    engine: Engine,
    *,
    breaker: Breaker | Callable[[], Breaker] | None = None,
    statement_seconds: float = 10.0,
    connect_seconds: float = 5.0,
    ping_after_idle_seconds: float = 15.0,
) -> Attachment:
    """Guard `engine`, and all engines made of it by `execution_options`. Does not connect.

    Connections that lie idle are closed, those that are in use go on unguarded until they are given back.

    Args:
        breaker: of the server, by `time.monotonic`; engines on the same server share it. Or what gives this process's:
            it is asked again in a forked child, where a breaker of the parent's would be reset, and after
            `Attachment.ask_for_breaker`. Default: one of the engine's own.
        statement_seconds: for each statement, COMMIT and ROLLBACK, and each piece of a stream.
        connect_seconds: for a new connection.
        ping_after_idle_seconds: a connection that was unused for longer is tried before it is relied on.

    Raises:
        UsageError: it is attached already with another breaker; it does not use psycopg2; its pool hands one connection
            to several users; gevent patched the process after dbcore was imported.
    """
    if deadline.was_patched_too_late():
        raise UsageError("call gevent.monkey.patch_all() before dbcore is imported")
    engine = sqlalchemy_internals.engine_behind(engine)
    if engine.dialect.is_async:
        raise UsageError(
            f"an async engine cannot be attached, and this one uses {engine.dialect.driver}: do its work in plain "
            "functions, by AsyncGuard"
        )
    if engine.dialect.driver != "psycopg2":
        raise UsageError(
            f"only engines on psycopg2 can be attached, and this one uses {engine.dialect.driver}: make it with an "
            "address that begins with postgresql+psycopg2://"
        )
    if isinstance(engine.pool, _GuardedPool):
        if breaker is None or engine.pool.attachment.goes_by == breaker:
            return engine.pool.attachment
        raise UsageError("the engine is attached already, with another breaker")
    if not isinstance(engine.pool, QueuePool | NullPool | AssertionPool):
        raise UsageError(
            f"a {type(engine.pool).__name__} gives one connection to several users at once, which must each be able to "
            "lose theirs; use QueuePool or NullPool"
        )
    attachment = Attachment(
        engine,
        breaker or Breaker(clock=time.monotonic, on_transition=log_transition),
        statement_seconds=statement_seconds,
        connect_seconds=connect_seconds,
        ping_after_idle_seconds=ping_after_idle_seconds,
    )
    before = engine.pool
    pool = before.recreate()
    sqlalchemy_internals.set_creator(pool, attachment.connects_by(sqlalchemy_internals.creator_of(before)))
    pool.__class__ = _guarded(cast(Any, type(before)))
    cast(_GuardedPool, pool).attachment = attachment
    engine.pool = pool
    before.dispose()
    attachment.listen(engine)
    return attachment


class Attachment:
    """What an engine has from being attached. Its `breaker` can be read, and opened and reset by hand."""

    def __init__(
        self,
        engine: Engine,
        breaker: Breaker | Callable[[], Breaker],
        *,
        statement_seconds: float,
        connect_seconds: float,
        ping_after_idle_seconds: float,
    ) -> None:
        self.goes_by = breaker
        self._breaker: Breaker | None = None
        self.statement_seconds = statement_seconds
        self.connect_seconds = connect_seconds
        self.liveness = Liveness(ping_after_idle_seconds)
        self._engine = weakref.ref(engine)
        _attachments.add(self)

    @property
    def breaker(self) -> Breaker:
        """This process's."""
        breaker = self._breaker
        if breaker is None:
            breaker = self._breaker = self.goes_by if isinstance(self.goes_by, Breaker) else self.goes_by()
        return breaker

    def ask_for_breaker(self) -> None:
        """At the next checkout, where `attach_engine` got what gives a breaker. Connections in use keep theirs."""
        if not isinstance(self.goes_by, Breaker):
            self._breaker = None

    def connects_by(self, creator: Any) -> Any:
        """A creator for SQLAlchemy, which connects by the one that the pool had."""

        def make(record: ConnectionPoolEntry) -> deadline.Connection:
            with bounded_connects(self.connect_seconds):
                connection = creator(record)
            if not isinstance(connection, deadline.Connection):
                raise UsageError(
                    f"the engine's creator gave a {type(connection).__qualname__} that psycopg2.connect did not make "
                    "just then: it cannot be given a deadline"
                )
            connection.seconds = connection.usual_seconds = self.connect_seconds
            connection.rolls_back_silently = True
            following.refuse_moved(connection)
            return connection

        # SQLAlchemy looks at the argument's name.
        def connect(connection_record: ConnectionPoolEntry) -> deadline.Connection:
            with Deadline(self.connect_seconds):
                return deadline.in_time(partial(copy_context().run, make, connection_record))

        return connect

    def listen(self, engine: Engine) -> None:
        event.listen(engine, "handle_error", self._on_error, retval=True, insert=True)
        event.listen(engine, "do_execute", _on_execute)
        event.listen(engine, "do_executemany", _on_execute)
        event.listen(engine, "do_execute_no_params", _on_execute_no_parameters)
        dialect: Any = engine.dialect
        dialect.connection_characteristics = {
            **dialect.connection_characteristics,
            OPTION: _StatementSeconds(),
        }

    def admit(self) -> _Checkout:
        """Leave for one checkout. Raises an OperationalError that is Unavailable too."""
        breaker = self._breaker or self.breaker
        return _Checkout(breaker, self.liveness, breaker.free_permit or self._asked(breaker))

    def _asked(self, breaker: Breaker) -> Permit:
        answer = breaker.admit(writes=True)
        if isinstance(answer, Refusal) and KINDS[answer.reason] is FailureKind.STORAGE:
            # What can be read is read. Whether this is to be a read nobody knows yet; the server refuses writes.
            answer = breaker.admit(writes=False)
        if isinstance(answer, Refusal):
            raise self._refused(answer)
        return answer

    def _refused(self, refusal: Refusal) -> OperationalError:
        kind = KINDS[refusal.reason]
        seconds = max(0.0, refusal.retry_at - time.monotonic())
        words = "forced open" if refusal.reason is None else f"open: {kind.value}"
        told = psycopg2.OperationalError(
            f"nothing was sent: the circuit breaker is {words}; retry after {seconds:.1f} s"
        )
        error = also_ours(OperationalError(None, None, told), kind, seconds, maybe_applied=False)
        return cast(OperationalError, error)

    def pool_exhausted(self, error: PoolTimeoutError) -> PoolTimeoutError:
        """Says nothing of the server, and is not counted."""
        ours = also_ours(error, FailureKind.SATURATION, _RETRY_AFTER_SECONDS, maybe_applied=False)
        return cast(PoolTimeoutError, ours)

    def _on_error(self, context: ExceptionContext) -> BaseException | None:
        error, connection = context.original_exception, context.connection
        if not isinstance(error, psycopg2.Error) or context.is_pre_ping:
            return None
        if connection is None or connection.invalidated:
            failure = failure_of(error, Phase.CONNECT)
        else:
            driver: Any = connection.connection.dbapi_connection
            checkout = driver.observer
            failure = checkout.failure_by(error) if isinstance(checkout, _Checkout) else None
        if context.is_disconnect or (failure is not None and failure.disconnect):
            context.is_disconnect = True
            # The others are tried before they are used again (Liveness.mark_stale), not thrown away unseen.
            context.invalidate_pool_on_disconnect = False
        theirs = context.sqlalchemy_exception
        if failure is None or theirs is None:
            return None
        theirs.connection_invalidated = context.is_disconnect
        retry_after_seconds = self.breaker.snapshot().retry_after_seconds or _RETRY_AFTER_SECONDS
        return also_ours(theirs, failure.kind, retry_after_seconds, maybe_applied=failure.maybe_applied)

    def leave_to_parent(self) -> None:
        """In a forked child: a pool and a breaker of its own."""
        if isinstance(self.goes_by, Breaker):
            self.goes_by.start_anew()
        self.ask_for_breaker()
        engine = self._engine()
        if engine is not None and isinstance(engine.pool, _GuardedPool):
            engine.pool.leave_to_parent()
            engine.dispose(close=False)


class _Checkout:
    """One connection, lent to one user. Tells the breaker how their waits for the server end (deadline.Observer)."""

    __slots__ = ("_breaker", "_failure", "_failure_of", "_liveness", "_permit")

    def __init__(self, breaker: Breaker, liveness: Liveness, permit: Permit) -> None:
        self._breaker = breaker
        self._liveness = liveness
        self._permit = permit
        self._failure: ClassifiedError | None = None
        self._failure_of = 0

    @property
    def _permit_now(self) -> Permit:
        """The breaker may have opened and closed since: what happens now counts now."""
        return self._breaker.free_permit or self._permit

    def answered(self) -> None:
        """In time, so it was not slow, however long it took: what is slow in this app its author says."""
        breaker = self._breaker
        breaker.succeeded(breaker.free_permit or self._permit, time.monotonic())

    def failed(
        self,
        connection: deadline.Connection,
        error: psycopg2.Error,
        statement: object,
        *,
        ends: bool,
    ) -> None:
        failure = failure_on(connection, error, statement, ends=ends)
        if error.pgcode == _READ_ONLY and _takes_writes(connection):
            failure = None
        self._report(error, failure)
        if failure is not None:
            if failure.kind is FailureKind.CONFIGURATION and error.pgcode is not None:
                failure = None
            else:
                failure.__cause__ = None  # an error holds the frame that holds us
        self._failure, self._failure_of = failure, id(error)

    def failed_to_connect(self, error: psycopg2.Error) -> None:
        failure = failure_of(error, Phase.CONNECT)
        if failure is None or failure.kind not in REASONS:
            self.end()
            return
        if failure.disconnect:
            self._liveness.mark_stale()
        # Refused at the door for who we are: so would the next login be, and too many may lock us out.
        trips_at_once = failure.kind is FailureKind.CONFIGURATION
        self._breaker.failed(self._permit_now, failure.kind, trips_at_once=trips_at_once)

    def _report(self, error: psycopg2.Error, failure: ClassifiedError | None) -> None:
        has_code = error.pgcode is not None
        if failure is not None and failure.disconnect:
            self._liveness.mark_stale()
        if isinstance(error, psycopg2.InterfaceError) or _CALLERS_IDLING in str(error):
            self.end()  # the caller's doing
        elif failure is None or failure.kind not in REASONS or (has_code and failure.kind in _ANSWERS):
            if has_code:
                self.answered()  # if only no
            else:
                self.end()
        else:
            self._breaker.failed(self._permit_now, failure.kind)

    def failure_by(self, error: BaseException) -> ClassifiedError | None:
        """What became of the wait that raised `error`, if that was the last one."""
        return self._failure if self._failure_of == id(error) else None

    def end(self) -> None:
        """A probe that told nothing lets the next one try."""
        if self._permit.lease is not None:
            self._breaker.release(self._permit)


def _takes_writes(connection: deadline.Connection) -> bool:
    """Whether the server says so, and a transaction is READ ONLY by its own user's wish. It tells of each change by
    itself, since PostgreSQL 14; a pooler may keep it back.
    """
    return all(
        connection.info.parameter_status(name) == "off"
        for name in ("in_hot_standby", "default_transaction_read_only")
    )


class _Record(ConnectionRecord):
    """A place in the pool, with the connection that is in it."""

    def __init__(self, pool: _GuardedPool, connect: bool = True) -> None:
        self._pool = pool
        self.lent: _Checkout | None = None
        super().__init__(pool, connect)

    def get_connection(self) -> Any:
        connection: Any = self.dbapi_connection
        if connection is not None:
            connection.seconds = PING_SECONDS_MAX
            is_pinged = sqlalchemy_internals.pings_before_use(self._pool)
            if not is_pinged and not self._pool.attachment.liveness.is_good(connection, self.info):
                self.invalidate()
        return super().get_connection()

    def checkin(self, _fairy_was_created: bool = True) -> None:
        connection: Any = self.dbapi_connection
        if self.lent is not None:
            self.lent.end()
            self.lent = None
        if connection is not None:
            connection.observer = None
            if connection.closed:
                self.invalidate()
            else:
                self._pool.attachment.liveness.note_idle(self.info)
        super().checkin(_fairy_was_created)


class _GuardedPool(RecordingPool):
    """Goes before the class of the engine's pool, which stays what it is."""

    attachment: Attachment

    def recreate(self) -> Pool:
        pool = cast(_GuardedPool, super().recreate())
        pool.attachment = self.attachment
        return pool

    def connect(self) -> PoolProxiedConnection:
        attachment = self.attachment
        checkout = attachment.admit()
        try:
            proxied: Any = super().connect()
        except PoolTimeoutError as error:
            checkout.end()
            raise attachment.pool_exhausted(error) from error
        except psycopg2.Error as error:
            checkout.failed_to_connect(error)
            raise
        except BaseException:
            checkout.end()
            raise
        connection, record = proxied.dbapi_connection, sqlalchemy_internals.record_of(proxied)
        connection.seconds = connection.usual_seconds = attachment.statement_seconds
        connection.observer = record.lent = checkout
        return proxied  # type: ignore[no-any-return]  # a cast would be a call for each checkout

    def new_record(self) -> ConnectionPoolEntry:
        return _Record(self)

    def leave_to_parent(self) -> None:
        """Take nothing back any more: its locks may be held, by threads that are not here."""
        sqlalchemy_internals.take_nothing_back(self)


@lru_cache(maxsize=64)
def _guarded(pool_class: Any) -> type[Any]:
    return type(f"Guarded{pool_class.__name__}", (_GuardedPool, pool_class), {})


def _on_execute(cursor: Any, _statement: str, _parameters: Any, context: Any) -> None:
    seconds = context.execution_options.get(OPTION, _UNSET)
    if seconds is not _UNSET:
        cursor.seconds = _seconds_of(seconds)


def _on_execute_no_parameters(cursor: Any, statement: str, context: Any) -> None:
    _on_execute(cursor, statement, None, context)


class _StatementSeconds(ConnectionCharacteristic):
    """The option of a connection or an engine. It is also for COMMIT, and for what is done by the driver's own cursor,
    such as COPY.
    """

    def set_characteristic(self, _dialect: Dialect, connection: Any, value: float | None) -> None:
        connection.seconds = _seconds_of(value)

    def reset_characteristic(self, _dialect: Dialect, connection: Any) -> None:
        connection.seconds = connection.usual_seconds

    def get_characteristic(self, _dialect: Dialect, connection: Any) -> Any:
        return connection.seconds


def _seconds_of(option: float | None) -> float:
    return float("inf") if option is None else option


_attachments: weakref.WeakSet[Attachment] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for attachment in list(_attachments):
        attachment.leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)
