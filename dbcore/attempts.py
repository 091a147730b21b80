"""One attempt: takes a connection from the pool, runs, gives it back. A driver's error leaves it with its kind.

There are two ways to run, and one point, `failure_of`, where an error is judged: SQLAlchemy's execution reaches it
by the `handle_error` event, the driver's own cursor directly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import psycopg2
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from dbcore.connections import PING, GuardedPool
from dbcore.failures import DISCONNECTED, FailureKind, Phase, classify

T = TypeVar("T")


class Failed(Exception):
    """An attempt failed in a way the table knows. The engine catches it; its cause is the driver's error."""

    def __init__(self, kind: FailureKind, phase: Phase, *, maybe_applied: bool, disconnect: bool) -> None:
        super().__init__(kind)
        self.kind = kind
        self.phase = phase
        self.maybe_applied = maybe_applied
        self.disconnect = disconnect  # the connection is not to be used again


def failure_of(error: BaseException, phase: Phase) -> Failed | None:
    """What a driver's error means. None: the caller's own affair, or unknown to the table."""
    kind = classify(error, phase)
    if kind is None or kind is FailureKind.DATA:
        return None
    # With a code the server gave up the statement and kept the session. Without one the session ended: by our
    # deadline, or by a time-out of the server's or pooler's that takes the session with it.
    ended_by_time = kind is FailureKind.SLOW and getattr(error, "pgcode", None) is None
    return Failed(
        kind,
        phase,
        maybe_applied=phase is not Phase.CONNECT and (kind is FailureKind.UNKNOWN_OUTCOME or ended_by_time),
        # Storage too: a read-only server may be yesterday's primary, and a new connection finds today's.
        disconnect=ended_by_time or kind in DISCONNECTED or kind is FailureKind.STORAGE,
    )


def listen(engine: Engine) -> None:
    """Judge the errors of what runs through SQLAlchemy."""
    event.listen(engine, "handle_error", _on_error, retval=True)


def _on_error(context: ExceptionContext) -> BaseException | None:
    if context.connection is None:
        phase = Phase.CONNECT
    else:
        phase = Phase.QUERY if context.statement is not None else Phase.COMMIT
    failed = failure_of(context.original_exception, phase)
    if failed is not None and failed.disconnect:
        context.is_disconnect = True
        # The others are tried before they are used again (GuardedPool.suspect), not thrown away unseen.
        context.invalidate_pool_on_disconnect = False
    return failed


def _pool_exhausted(error: PoolTimeoutError) -> Failed:
    failed = Failed(FailureKind.SATURATION, Phase.CONNECT, maybe_applied=False, disconnect=False)
    failed.__cause__ = error
    return failed


def _nothing_sent(failed: Failed) -> Failed:
    """The same failure, judged as one of connecting: SQLAlchemy asks its first connection some questions of its own,
    and they pass the event as if they were our statement.
    """
    again = None if failed.__cause__ is None else failure_of(failed.__cause__, Phase.CONNECT)
    if again is None:
        return failed
    again.__cause__ = failed.__cause__
    return again


def through_sqlalchemy(engine: Engine, operation: Callable[[Connection], T]) -> T:
    """Raises Failed; every other error untouched."""
    connected = False
    try:
        with engine.connect() as connection:
            connected = True
            return operation(connection)
    except Failed as early:
        if connected:
            raise
        raise _nothing_sent(early) from early.__cause__
    except PoolTimeoutError as error:
        raise _pool_exhausted(error) from error
    except DBAPIError as error:
        # Not all of SQLAlchemy's own questions on its first connection pass the event.
        failed = None if connected or error.orig is None else failure_of(error.orig, Phase.CONNECT)
        if failed is None:
            raise
        raise failed from error


def fetch_row(
    pool: GuardedPool, statement: str, parameters: Sequence[Any], *, ping: str = PING
) -> tuple[Any, ...]:
    """One statement and its first row by the driver's own cursor, for a third of the time on our side.

    ping -- as `GuardedPool.lend` takes it. Raises Failed; every other error untouched.
    """
    try:
        entry = pool.lend(ping)
    except Failed as early:
        raise _nothing_sent(early) from early.__cause__
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
