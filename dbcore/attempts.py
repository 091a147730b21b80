"""One attempt: takes a connection from the pool, runs, gives it back. A driver's error leaves it with its kind.

There are two ways to run, and one point, `failure_of`, where an error is judged:

    fetch_row            one statement by the driver's own cursor, which commits by itself: what Ballast does all day
    through_sqlalchemy   an operation of the caller's, in a real transaction; inside it errors are SQLAlchemy's own
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from dbcore.connections import PING, GuardedPool
from dbcore.failures import DISCONNECTED, RISES, FailureKind, Phase, classify

T = TypeVar("T")


class Failed(Exception):
    """An attempt failed in a way the table knows. The engine catches it, and nobody else ever sees it; its cause is the
    driver's error.
    """

    def __init__(self, kind: FailureKind, phase: Phase, *, maybe_applied: bool, disconnect: bool) -> None:
        super().__init__(kind)
        self.kind = kind
        self.phase = phase
        self.maybe_applied = maybe_applied
        self.disconnect = disconnect  # the connection is not to be used again


def failure_of(error: BaseException, phase: Phase) -> Failed | None:
    """What a driver's error means. None: the caller's own affair, or unknown to the table."""
    kind = classify(error, phase)
    if kind is None or kind in RISES:
        return None
    # With a code the server gave up the statement and kept the session. Without one the session ended: by our
    # deadline, or by a time-out of the server's or pooler's that takes the session with it.
    ended_by_time = kind is FailureKind.SLOW and getattr(error, "pgcode", None) is None
    failed = Failed(
        kind,
        phase,
        maybe_applied=phase is not Phase.CONNECT and (kind is FailureKind.UNKNOWN_OUTCOME or ended_by_time),
        # Storage too: a read-only server may be yesterday's primary, and a new connection finds today's.
        disconnect=ended_by_time or kind in DISCONNECTED or kind is FailureKind.STORAGE,
    )
    failed.__cause__ = error
    return failed


class _Transactions:
    """What became of the transactions of one call.

    lost -- the last failure that took the connection with it.
    kept -- something of this attempt was committed before it ended, and stays whatever fails after it.
    """

    def __init__(self) -> None:
        self.lost: Failed | None = None
        self.kept = False


_OPTION = "guarded_call"  # by which SQLAlchemy's events find the call that they are part of


def listen(engine: Engine) -> None:
    """Watch what runs through SQLAlchemy."""
    event.listen(engine, "handle_error", _on_error)
    event.listen(engine, "commit", _on_commit)
    event.listen(engine, "after_cursor_execute", _on_executed)


def _of_call(connection: Connection) -> _Transactions | None:
    call: _Transactions | None = connection.get_execution_options().get(_OPTION)
    return call


def _on_error(context: ExceptionContext) -> None:
    """The error rises as SQLAlchemy makes it; what it means for the connection is ours to say."""
    error, connection = context.original_exception, context.connection
    failed = failure_of(error, Phase.CONNECT if connection is None else Phase.QUERY)
    if failed is None or not failed.disconnect:
        return
    context.is_disconnect = True
    # The others are tried before they are used again (GuardedPool.suspect), not thrown away unseen.
    context.invalidate_pool_on_disconnect = False
    call = None if connection is None else _of_call(connection)
    if connection is None or call is None:
        return
    if _lost_inside_a_transaction(context, connection):
        failed.maybe_applied = False
        if failed.kind is FailureKind.UNKNOWN_OUTCOME:
            failed.kind = FailureKind.OUTAGE
    failed.maybe_applied |= call.kept
    call.lost = failed


_ENDS_IT = re.compile(r"\b(commit|end|prepare)\b", re.IGNORECASE)


def _lost_inside_a_transaction(context: ExceptionContext, connection: Connection) -> bool:
    """The session ended before the transaction's end was sent: the server rolled it back, or will."""
    driver: Any = connection.connection.dbapi_connection
    return (
        getattr(context.original_exception, "pgcode", None) is None
        and not driver.autocommit
        and context.statement is not None
        and not _ENDS_IT.search(context.statement)
    )


def _on_commit(connection: Connection) -> None:
    call = _of_call(connection)
    if call is not None:
        call.kept = True  # as soon as it is sent: should its answer be lost, the outcome is open anyway


def _on_executed(connection: Connection, cursor: Any, *_statement: Any) -> None:
    """COMMIT as a statement of the caller's own, and AUTOCOMMIT that they asked for, pass no other event."""
    driver: Any = connection.connection.dbapi_connection
    if driver.get_transaction_status() == TRANSACTION_STATUS_IDLE and cursor.statusmessage != "ROLLBACK":
        _on_commit(connection)


def _pool_exhausted(error: PoolTimeoutError) -> Failed:
    failed = Failed(FailureKind.SATURATION, Phase.CONNECT, maybe_applied=False, disconnect=False)
    failed.__cause__ = error
    return failed


def through_sqlalchemy(engine: Engine, operation: Callable[[Connection], T]) -> T:
    """`operation` in one transaction, which is committed when it returns and rolled back when it raises. Raises Failed;
    every other error untouched.
    """
    call: _Transactions | None = None
    try:
        with engine.connect() as connection:
            call = _Transactions()
            connection.execution_options(**{_OPTION: call})
            result = operation(connection)
            connection.commit()
            return result
    except PoolTimeoutError as error:
        raise _pool_exhausted(error) from error
    except PendingRollbackError:
        # The operation took no notice of the loss of its connection, and of the transaction with it.
        if call is None or call.lost is None:
            raise
        raise call.lost from call.lost.__cause__
    except DBAPIError as error:
        if call is not None and call.lost is not None and call.lost.__cause__ is error.orig:
            raise call.lost from error.orig
        # Not all of SQLAlchemy's own questions on its first connection pass the event.
        failed = (
            None if error.orig is None else failure_of(error.orig, Phase.QUERY if call else Phase.CONNECT)
        )
        if failed is None:
            raise
        failed.maybe_applied |= call is not None and call.kept
        raise failed from error.orig


def fetch_row(
    pool: GuardedPool, statement: str, parameters: Sequence[Any], *, ping: str = PING
) -> tuple[Any, ...]:
    """One statement and its first row by the driver's own cursor, for a third of the time on our side.

    ping -- as `GuardedPool.lend` takes it. Raises Failed; every other error untouched.
    """
    try:
        entry = pool.lend(ping)
    except PoolTimeoutError as error:
        raise _pool_exhausted(error) from error
    except (psycopg2.Error, DBAPIError) as error:
        driver_error = error.orig if isinstance(error, DBAPIError) else error
        failed = None if driver_error is None else failure_of(driver_error, Phase.CONNECT)
        if failed is None:
            raise
        raise failed from driver_error
    try:
        cursor = cast(psycopg2.extensions.connection, entry.dbapi_connection).cursor()
        cursor.execute(statement, parameters)
        row = cursor.fetchone()
        cursor.close()
    except psycopg2.Error as error:
        failed = failure_of(error, Phase.QUERY)
        if failed is None:
            raise
        if failed.disconnect:
            entry.invalidate(error)
        raise failed from error
    finally:
        pool.hand_in(entry)
    return cast(tuple[Any, ...], row)
