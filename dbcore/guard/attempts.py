"""One attempt: takes a connection from the pool, runs, gives it back. A driver's error leaves it with its kind.

There are three ways to run, and one point, `failure_of`, where an error is judged:

    fetch_row            one statement by the driver's own cursor, which commits by itself: what Ballast does all day
    through_sqlalchemy   an operation of the caller's, in a real transaction; inside it errors are SQLAlchemy's own
    connected            a connection for transactions that the guard begins by hand (dbcore/guard)
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import psycopg2
from psycopg2.extensions import cursor
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from dbcore.errors import UsageError
from dbcore.failures import DISCONNECTED, RISES, FailureKind, Phase, classify, was_moved
from dbcore.guard import deadline, hand_begun
from dbcore.guard.deadline import DeadlineExceeded
from dbcore.guard.liveness import PING
from dbcore.guard.pool import GuardedPool

T = TypeVar("T")


@dataclass(slots=True)
class Progress:
    """How far an operation has come, over all of its attempts.

    until -- when its time is up, on the monotonic clock.
    maybe_applied -- an attempt was lost after it was sent. An attempt that finds out how that one ended clears it.
    database_seconds -- how long the last attempt waited for the server; None if only its duration is known.
    """

    until: float
    maybe_applied: bool = False
    database_seconds: float | None = None


class ClassifiedError(Exception):
    """An attempt failed in a way the table knows. The engine catches it, and nobody else ever sees it; its cause is the
    driver's error.
    """

    def __init__(self, kind: FailureKind, phase: Phase, *, maybe_applied: bool, disconnect: bool) -> None:
        super().__init__(kind)
        self.kind = kind
        self.phase = phase
        self.maybe_applied = maybe_applied
        self.disconnect = disconnect  # the connection is not to be used again
        self.final = False  # another attempt would have no time for what this one waited for


def failure_of(error: BaseException, phase: Phase) -> ClassifiedError | None:
    """What a driver's error means. None: the caller's own affair, or unknown to the table."""
    kind = classify(error, phase)
    if kind is None or kind in RISES:
        return None
    # With a code the server gave up the statement and kept the session. Without one the session ended: by our
    # deadline, or by a time-out of the server's or pooler's that takes the session with it.
    ended_by_time = kind is FailureKind.SLOW and getattr(error, "pgcode", None) is None
    was_sent = not isinstance(error, DeadlineExceeded) or error.sent
    failed = ClassifiedError(
        kind,
        phase,
        maybe_applied=phase is not Phase.CONNECT
        and (kind is FailureKind.UNKNOWN_OUTCOME or (ended_by_time and was_sent)),
        # Storage too: a read-only server may be yesterday's primary, and a new connection finds today's.
        disconnect=ended_by_time or kind in DISCONNECTED or kind is FailureKind.STORAGE or was_moved(error),
    )
    failed.__cause__ = error
    return failed


class Transactions:
    """What became of the transactions of one attempt, and how they begin.

    lost -- the last failure that took the connection with it.
    failed -- the last failure of any kind that a retry may mend.
    kept -- something of this attempt was committed before it ended, and stays whatever fails after it.
    database_seconds -- how long it waited for the server; None if it got no connection.
    """

    def __init__(self, *, read_only: bool = False) -> None:
        """read_only -- transactions are READ ONLY by our own word, so that a write is the caller's mistake."""
        self.read_only = read_only
        self.lost: ClassifiedError | None = None
        self.failed: ClassifiedError | None = None
        self.kept = False
        self.database_seconds: float | None = None
        self._kept_before_commit: bool | None = None

    def commit_sent(self) -> None:
        self._kept_before_commit, self.kept = self.kept, True

    def commit_ended(self, error: BaseException | None, kind: FailureKind | None) -> None:
        """error -- by which it failed; None if it went well, or something else happened since."""
        before, self._kept_before_commit = self._kept_before_commit, None
        refused = getattr(error, "pgcode", None) is not None and kind is not FailureKind.UNKNOWN_OUTCOME
        unsent = isinstance(error, DeadlineExceeded) and not error.sent
        if before is not None and (refused or unsent):
            self.kept = before


_OPTION = "guarded_call"  # by which SQLAlchemy's events find the call that they are part of


def listen(engine: Engine) -> None:
    """Watch for SQLAlchemy's errors. Everything else is noted on the driver's connection, because SQLAlchemy's events
    for each statement cost more time than the guard itself.
    """
    event.listen(engine, "handle_error", _on_error)


def _of_call(connection: Connection) -> Transactions | None:
    call: Transactions | None = connection.get_execution_options().get(_OPTION)
    return call


def driver_of(connection: Connection) -> hand_begun.Connection:
    """psycopg2's connection under SQLAlchemy's."""
    return cast(hand_begun.Connection, connection.connection.dbapi_connection)


def _on_error(context: ExceptionContext) -> None:
    """The error rises as SQLAlchemy makes it; what it means for the connection is ours to say."""
    error, connection = context.original_exception, context.connection
    if connection is not None and _wrote_while_reading(_of_call(connection), error):
        return
    failed = failure_of(error, Phase.CONNECT if connection is None else Phase.QUERY)
    call = None if connection is None else _of_call(connection)
    # Without a statement it is COMMIT, ROLLBACK, or rows that a named cursor asked for.
    driver: Any = None
    if connection is not None and not connection.invalidated:
        driver = connection.connection.dbapi_connection
    at_commit = context.statement is None and getattr(driver, "committing", False)
    if call is not None:
        call.failed = failed
        call.commit_ended(error if at_commit else None, failed.kind if failed else None)
    if failed is None or not failed.disconnect:
        return
    context.is_disconnect = True
    # The others are tried before they are used again (Liveness.mark_stale), not thrown away unseen.
    context.invalidate_pool_on_disconnect = False
    if connection is None or call is None:
        return
    if not at_commit and driver is not None:
        _settle_by_transaction(failed, error, driver, context.statement)
    failed.maybe_applied |= call.kept
    call.lost = failed


def _wrote_while_reading(call: Transactions | None, error: BaseException | None) -> bool:
    return call is not None and call.read_only and getattr(error, "pgcode", None) == "25006"


_ENDS_IT = re.compile(r"(?:^|;|\*/|\n)\s*(?:commit|end|prepare)\b", re.IGNORECASE)


def _settle_by_transaction(
    failed: ClassifiedError, error: BaseException, driver: Any, statement: object
) -> None:
    """A session that ended before the transaction's end was sent left nothing open: the server rolled it back, or
    will.
    """
    if (
        getattr(error, "pgcode", None) is None
        and (not driver.autocommit or getattr(driver, "opened_by_hand", False))
        and not _ENDS_IT.search(str(statement))
    ):
        failed.maybe_applied = False
        if failed.kind is FailureKind.UNKNOWN_OUTCOME:
            failed.kind = FailureKind.OUTAGE


def failure_on(
    driver: Any, error: psycopg2.Error, statement: object, *, ends: bool
) -> ClassifiedError | None:
    """As `failure_of`, for what was asked on a connection of psycopg2's.

    ends -- it was the end of a transaction by a method of the driver's, such as `commit`.
    """
    failed = failure_of(error, Phase.COMMIT if ends else Phase.QUERY)
    if failed is not None and not ends:
        _settle_by_transaction(failed, error, driver, statement)
    return failed


def _pool_exhausted(error: PoolTimeoutError) -> ClassifiedError:
    failed = ClassifiedError(FailureKind.SATURATION, Phase.CONNECT, maybe_applied=False, disconnect=False)
    failed.__cause__ = error
    return failed


def through_sqlalchemy(engine: Engine, operation: Callable[[Connection], T]) -> T:
    """`operation` in one transaction, which is committed when it returns and rolled back when it raises.

    Raises ClassifiedError; every other error untouched.
    """
    with _failures(call := Transactions()), engine.connect() as connection:
        call.database_seconds = 0.0
        driver = driver_of(connection)
        driver.set_session(isolation_level="READ COMMITTED", autocommit=False)  # with the next BEGIN
        driver.on_commit = call.commit_sent
        connection.execution_options(**{_OPTION: call})
        result = operation(connection)
        connection.commit()
        return result


@contextmanager
def connected(
    engine: Engine, call: Transactions, progress: Progress, opener: Callable[[], str] | None
) -> Iterator[Connection]:
    """A connection whose transactions are begun by hand. What is open at the end is rolled back. What its session was
    SET to is undone, if anything was. From `progress.until` on it answers nothing, whichever thread uses it. Raises
    ClassifiedError; every other error untouched.

    opener -- says by which BEGIN each transaction begins; None: `driver.opener` is set later.
    """
    progress.database_seconds = None
    with _failures(call):
        with deadline.Deadline(progress.until - time.monotonic()):
            connection = engine.connect()
        driver = driver_of(connection)
        waited_before = driver.waited_seconds
        driver.keeps_session = True
        driver.until = progress.until
        driver.on_commit = call.commit_sent
        driver.opener = opener
        connection.execution_options(**{_OPTION: call})
        try:
            with connection:
                yield connection
        finally:
            progress.database_seconds = call.database_seconds = driver.waited_seconds - waited_before


@contextmanager
def _failures(call: Transactions) -> Iterator[None]:
    """What SQLAlchemy raises in this block leaves it as ClassifiedError, if the table knows it."""
    try:
        yield
    except PoolTimeoutError as error:
        raise _pool_exhausted(error) from error
    except PendingRollbackError:
        # The operation took no notice of the loss of its connection, and of the transaction with it.
        if call.lost is None:
            raise
        raise call.lost from call.lost.__cause__
    except DBAPIError as error:
        if _wrote_while_reading(call, error.orig):
            raise UsageError(
                "a write in a transaction that was begun to read: guard.session(writes=True) writes, and transact does"
            ) from error
        if call.lost is not None and call.lost.__cause__ is error.orig:
            raise call.lost from error.orig
        # Not all of SQLAlchemy's own questions on its first connection pass the event.
        phase = Phase.CONNECT if call.database_seconds is None else Phase.QUERY
        failed = None if error.orig is None else failure_of(error.orig, phase)
        if failed is None:
            raise
        failed.maybe_applied |= call.kept
        raise failed from error.orig


def fetch_row(
    pool: GuardedPool, statement: str, parameters: Sequence[Any] | Mapping[str, Any], *, ping: str = PING
) -> tuple[Any, ...]:
    """One statement and its first row by the driver's own cursor, for a third of the time on our side.

    ping -- as `GuardedPool.checkout` takes it. Raises ClassifiedError; every other error untouched.
    """
    return cast(tuple[Any, ...], _fetch(pool, statement, parameters, cursor.fetchone, ping=ping))


def fetch_rows(
    pool: GuardedPool, statement: str, parameters: Sequence[Any] | Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """The same, and all rows. Of several statements in one, those of the last: they are one transaction."""
    return _fetch(pool, statement, parameters, cursor.fetchall)


def _fetch(
    pool: GuardedPool,
    statement: str,
    parameters: Sequence[Any] | Mapping[str, Any],
    read: Callable[[cursor], T],
    *,
    ping: str = PING,
) -> T:
    try:
        entry = pool.checkout(ping)
    except PoolTimeoutError as error:
        raise _pool_exhausted(error) from error
    except (psycopg2.Error, DBAPIError) as error:
        driver_error = error.orig if isinstance(error, DBAPIError) else error
        failed = None if driver_error is None else failure_of(driver_error, Phase.CONNECT)
        if failed is None:
            raise
        raise failed from driver_error
    try:
        driver = cast(psycopg2.extensions.connection, entry.dbapi_connection).cursor()
        driver.execute(statement, parameters)
        found = read(driver)
        driver.close()
    except psycopg2.Error as error:
        failed = failure_of(error, Phase.QUERY)
        if failed is None:
            raise
        if failed.disconnect:
            entry.invalidate(error)
        raise failed from error
    finally:
        pool.checkin(entry)
    return found
