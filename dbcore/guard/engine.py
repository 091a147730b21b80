"""The guarded engine: the one doorway to the database. It alone owns pool, deadline, retries and breaker.

    call ──▶ breaker ──▶ pool ──▶ one statement, or a transaction ──▶ result
               ▲ refused: Unavailable at once     │ failed
               └── again, on this kind's budget ◀─┘ what is left rises as Unavailable or OutcomeUnknown

Build it in the process that uses it, after the fork: neither connections nor locks survive one.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, cast

import psycopg2
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from dbcore.breaker.local import (
    REASONS,
    Breaker,
    BreakerLimits,
    BreakerReason,
    BreakerState,
    Permit,
    Refusal,
    Transition,
)
from dbcore.breaker.rules import KINDS
from dbcore.errors import OutcomeUnknown, Unavailable
from dbcore.failures import FailureKind, Phase, classify, was_moved
from dbcore.guard import attempts, deadline, pool
from dbcore.guard.attempts import ClassifiedError, Progress, Transactions
from dbcore.guard.deadline import Deadline
from dbcore.guard.retries import RETRIES, Policies, RetryBudget, RetryState
from dbcore.qualified_names import qualified
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

T = TypeVar("T")

PROBE_SECONDS_MAX = 2.5
"""A probe that takes longer has failed. Above libpq's connect_timeout of 2 s."""

# After a failure that opened nothing, the first interval of an outage is as good a guess as any.
_RETRY_AFTER_SECONDS = 1.0

# The comment tells them from other statements, on the wire and in the server's own log.
_READING_PROBE = "SELECT 1 /* leased probe */"
_WRITING_PROBE = (
    "BEGIN; INSERT INTO ballast.health_probes (trigger, ok, server_ms, server_version, missing_tables, connections, "
    "max_connections, database_bytes) VALUES ('breaker', true, 0, '', '{}', 0, 0, 0); ROLLBACK; "
    "SELECT 1 /* leased probe */"
)
"""One message. Where the write fails the connection is left in the middle of it, and goes (attempts.py)."""


@dataclass(frozen=True, slots=True)
class EngineSnapshot:
    """What the engine is now, in values that JSON knows."""

    state: BreakerState
    reason: BreakerReason | None
    since: float  # unix time
    retry_after_seconds: float
    pool_size: int
    pool_max: int
    pool_in_use: int
    pool_idle: int
    failed_operations: int  # calls in a row that ended without an answer; the next answer sets it to 0
    failed_operations_total: int
    calls_total: int
    retries_total: int
    refused_total: int  # by the breaker, without trying
    unknown_outcomes_total: int  # attempts whose outcome was open; most are resolved by the retry
    transitions_total: int
    failures_by_kind: dict[str, int]
    answered_ago_seconds: (
        float | None
    )  # since the database last answered, if only no; None where it never did
    failed_ago_seconds: float | None  # since a call last ended without an answer


class GuardedEngine:
    """All SQL passes here. One per process, for all of its threads."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = deadline.sleep,
        limits: BreakerLimits | None = None,
        application_name: str = "ballast",
        ping_after_idle_seconds: float = 15.0,
    ) -> None:
        """Does not connect.

        limits -- of the breaker.
        ping_after_idle_seconds -- a connection unused for longer is tried before it is relied on.
        Raises SettingsError where DATABASE_URL is unset.
        """
        self.currencies = settings.known_currencies
        self.currency = self.currencies.first.code
        self.schema = settings.ballast_schema
        self.deliveries_keep_days = settings.deliveries_keep_days
        self.deadline_seconds = settings.db_deadline_seconds
        self._clock = clock
        self._sleep = sleep
        self._engine = pool.pooled(
            settings, application_name=application_name, ping_after_idle_seconds=ping_after_idle_seconds
        )
        self._pool = cast(pool.GuardedPool, self._engine.pool)
        attempts.listen(self._engine)
        self._pool_max = settings.db_pool_size + settings.db_max_overflow
        self.breaker = Breaker(clock=clock, limits=limits, on_transition=self._transition)
        self.retries = RetryBudget(clock)
        self._lock = threading.Lock()
        self._calls = 0
        self._under_way: dict[int, float] = {}  # thread -> when its call began
        self._consecutive_failures = 0
        self._answered_at: float | None = None
        self._failed_at: float | None = None
        self._counts: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()

    def known_currency(self, code: str | None) -> str:
        """The code of one of the bot's currencies; None is the first. Raises ValueError for any other."""
        if code is None:
            return self.currency
        if self.currencies.get(code) is None:
            raise ValueError(f"expected one of the currencies {self.currencies}, got {code!r}")
        return code

    def call(
        self,
        operation: Callable[[Connection], T],
        *,
        name: str,
        replayable: bool | None = None,
        writes: bool = True,
        deadline_seconds: float | None = None,
    ) -> T:
        """Run `operation` on a SQLAlchemy connection, in one transaction: committed when it returns, rolled back when
        it raises. `begin()`, `commit()`, `rollback()`, savepoints and a `Session` on it do what they say; errors inside
        it are SQLAlchemy's own. The connection ends with the call, and so does what was SET in its session.

        name -- for the log, such as `shop.redeem`.
        replayable -- running it twice has the effect of once: it has an idempotency key, or only reads. By default what
            does not write is. What is not replayable runs again only if nothing of it can have been applied.
        writes -- False for what a read-only server can answer, and what is known not applied when it fails.
        deadline_seconds -- for everything: waiting for a connection, attempts, waits between them. Default
            DB_DEADLINE_SECONDS.

        Raises Unavailable, OutcomeUnknown; the statement's own errors rise as SQLAlchemy raises them.

            def redeem(connection: Connection) -> int:
                with Session(connection) as session, session.begin():
                    code = session.scalars(select(Code).where(Code.text == text).with_for_update()).one()
                    code.uses += 1
                    return code.value

            value = engine.call(redeem, name="shop.redeem")
        """
        return self.run(
            lambda _: attempts.through_sqlalchemy(self._engine, operation),
            name=name,
            replayable=not writes if replayable is None else replayable,
            writes=writes,
            deadline_seconds=deadline_seconds,
        )

    def fetch_row(
        self,
        statement: str,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        *,
        name: str,
        writes: bool = True,
        deadline_seconds: float | None = None,
    ) -> tuple[Any, ...]:
        """The one row of a replayable statement in the driver's own placeholders (%s), guarded like `call`. The
        statement commits by itself: one round trip. Ballast's own tables are written `ballast.users` in it
        (qualified_names.py).

        Uses the driver's cursor: SQLAlchemy's execution would add a tenth to the time of a transfer
        (docs/adr/0003-ledger-in-one-function.md). Errors of the statement's own rise as psycopg2's.
        """
        sql = qualified(statement, self.schema)
        return self.run(
            lambda _: attempts.fetch_row(self._pool, sql, parameters),
            name=name,
            replayable=True,
            writes=writes,
            deadline_seconds=deadline_seconds,
        )

    def fetch_rows(
        self,
        statement: str,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        *,
        name: str,
        writes: bool = True,
        deadline_seconds: float | None = None,
    ) -> list[tuple[Any, ...]]:
        """As `fetch_row`, and all rows of it. Several statements in one are one transaction and one round trip, and the
        rows are those of the last.
        """
        sql = qualified(statement, self.schema)
        return self.run(
            lambda _: attempts.fetch_rows(self._pool, sql, parameters),
            name=name,
            replayable=True,
            writes=writes,
            deadline_seconds=deadline_seconds,
        )

    def probe(self, *, writes: bool) -> FailureKind | None:
        """Whether the database answers now: None, or how it failed. Passes by the breaker and tells it nothing: for
        whoever holds the fleet's leave to probe (dbcore/breaker/sync.py).

        writes -- try whether it can be written to, which a full or read-only one refuses.
        """
        statement = qualified(_WRITING_PROBE, self.schema) if writes else _READING_PROBE
        try:
            with Deadline(PROBE_SECONDS_MAX):
                attempts.fetch_row(self._pool, statement, (), ping=_READING_PROBE)
        except ClassifiedError as failed:
            if failed.disconnect:
                self._pool.liveness.mark_stale()
            return failed.kind if failed.kind in REASONS else None
        except (DBAPIError, psycopg2.Error) as error:
            log.warning("probe_failed_strangely", error=type(error).__name__)
            return FailureKind.OUTAGE
        self._answered_at = self._clock()
        return None

    def connected(
        self, call: Transactions, progress: Progress, opener: Callable[[], str] | None = None
    ) -> AbstractContextManager[Connection]:
        """One attempt's connection, for transactions that are begun by hand (attempts.connected)."""
        return attempts.connected(self._engine, call, progress, opener)

    def limit_connections(self, most: int) -> None:
        """Hold at most as many from now on; those that are open beyond are closed as they come back."""
        self._pool.limit(most)
        self._pool_max = most

    def drop_idle_connections(self) -> int:
        """Close those that nobody uses now; how many there were. The next call opens one."""
        return self._pool.drop_idle()

    def now(self) -> float:
        """The engine's clock."""
        return self._clock()

    @property
    def calls_sent(self) -> int:
        """Calls that reached for the database: all but those the breaker refused."""
        return self._calls - self._counts["refused"]

    def stuck_calls(self, seconds: float) -> int:
        """How many calls have been under way for longer than that, not counting those that asked for longer, and those
        begun before the fleet's breaker became what it is: they hang in the trouble of then.
        """
        latest, earliest = self._clock() - seconds, self.breaker.epoch_began
        return sum(earliest <= began <= latest for began in list(self._under_way.values()))

    @property
    def connections_open(self) -> int:
        return self._pool.checkedout() + self._pool.checkedin()

    def run(
        self,
        attempt: Callable[[Progress], T],
        *,
        name: str,
        replayable: bool,
        writes: bool,
        deadline_seconds: float | None,
        policies: Policies = RETRIES,
    ) -> T:
        """`attempt` under breaker, deadline and retries: what all ways in have in common. Its errors are judged as
        attempts.py leaves them. Parameters as for `call`.

        policies -- what may be tried again, how often and after which waits.
        """
        seconds = self.deadline_seconds if deadline_seconds is None else deadline_seconds
        started = self._clock()
        budget: RetryState | None = None
        progress = Progress(time.monotonic() + min(seconds, deadline.remaining_seconds()))
        attempted = started
        thread = threading.get_ident()
        if deadline_seconds is None:
            self._under_way[thread] = started
        try:
            with Deadline(seconds):
                while True:
                    deadline.raise_if_cancelled()
                    permit = self.breaker.free_permit or self.admit(
                        writes, maybe_applied=progress.maybe_applied
                    )
                    try:
                        result = attempt(progress)
                    except ClassifiedError as failed:
                        kind = self.judge(permit, failed, progress, attempted, writes=writes)
                        if budget is None:
                            budget = RetryState(policies)
                        cause = failed.__cause__ or failed
                        may_repeat = not failed.final and (replayable or not progress.maybe_applied)
                        wait = budget.wait_seconds(kind, cause) if may_repeat else None
                        if (
                            wait is None
                            or self._clock() + wait - started >= seconds
                            or wait >= deadline.remaining_seconds()  # a caller's own may be nearer than ours
                            or not self.retries.try_acquire(kind)
                        ):
                            self.give_up(kind, name, failed, maybe_applied=progress.maybe_applied)
                        with self._lock:
                            self._counts["retries"] += 1
                        log.info(
                            "database_retry", operation=name, kind=kind.value, wait_seconds=round(wait, 3)
                        )
                        self._sleep(wait)
                        attempted = self._clock()
                    except (DBAPIError, psycopg2.Error) as error:
                        if progress.maybe_applied:
                            # It is about this attempt, and says nothing of the one whose answer was lost.
                            self._look_for_damage(name, error)
                            self.breaker.release(permit)
                            self.give_up(FailureKind.UNKNOWN_OUTCOME, name, error, maybe_applied=True)
                        self.refused_as_data(permit, name, error, progress, attempted)
                        raise
                    except BaseException:
                        self.breaker.release(permit)
                        raise
                    else:
                        self.answered(permit, progress, attempted)
                        return result
        finally:
            self._under_way.pop(thread, None)

    def judge(
        self, permit: Permit, failed: ClassifiedError, progress: Progress, attempted: float, *, writes: bool
    ) -> FailureKind:
        """Count a failed attempt and tell the breaker; what kind of failure it is to its caller.

        attempted -- when the attempt began, on the engine's clock.
        """
        kind = failed.kind
        if kind is FailureKind.UNKNOWN_OUTCOME and not writes:
            kind = FailureKind.OUTAGE  # nothing to be unsure about
        progress.maybe_applied = progress.maybe_applied or (failed.maybe_applied and writes)
        if kind is FailureKind.SLOW and self._took_its_time_itself(progress, attempted):
            with self._lock:
                self._kinds[kind.value] += 1
            self.breaker.release(permit)
        else:
            self._report(permit, kind, failed, attempted, writes=writes)
        return kind

    def _took_its_time_itself(self, progress: Progress, attempted: float) -> bool:
        """Whether the time went by in the caller's own code, which says nothing about the database."""
        waited = progress.database_seconds
        return waited is not None and waited < (self._clock() - attempted) / 2

    def refused_as_data(
        self,
        permit: Permit,
        name: str,
        error: DBAPIError | psycopg2.Error,
        progress: Progress,
        attempted: float,
    ) -> None:
        """An error that the caller gets as it is: the server answered, if only no."""
        self._look_for_damage(name, error)
        if getattr(getattr(error, "orig", error), "pgcode", None) is not None:
            self.answered(permit, progress, attempted)
        else:
            self.breaker.release(permit)

    def _look_for_damage(self, name: str, error: DBAPIError | psycopg2.Error) -> None:
        """The caller gets the error as it is. That a page or an index is damaged concerns the operator too."""
        driver_error = getattr(error, "orig", error)
        if classify(driver_error, Phase.QUERY) is FailureKind.CORRUPTION:
            with self._lock:
                self._kinds[FailureKind.CORRUPTION.value] += 1
            words = " ".join(str(driver_error).split())[:300]  # name files, blocks and indexes, no values
            log.error("database_corrupted", operation=name, cause=words)

    def answered(self, permit: Permit, progress: Progress, attempted: float) -> None:
        """The database did what the attempt asked of it, or said why not."""
        if progress.database_seconds is not None:  # what went by besides is the caller's own
            attempted = max(attempted, self._clock() - progress.database_seconds)
        self.breaker.succeeded(permit, attempted)
        with self._lock:
            self._calls += 1
            self._consecutive_failures = 0
            self._answered_at = self._clock()

    def _report(
        self, permit: Permit, kind: FailureKind, failed: ClassifiedError, attempted: float, *, writes: bool
    ) -> None:
        if failed.disconnect:
            self._pool.liveness.mark_stale()
        if was_moved(failed.__cause__):
            self._pool.leave_connections()
        with self._lock:
            self._kinds[kind.value] += 1
            self._counts["unknown_outcomes"] += failed.maybe_applied and writes
        if kind in REASONS:
            # Refused at the door for who we are: so would the next login be, and too many may lock us out.
            trips_at_once = kind is FailureKind.CONFIGURATION and failed.phase is Phase.CONNECT
            self.breaker.failed(permit, kind, trips_at_once=trips_at_once)
        else:
            self.breaker.succeeded(permit, attempted)

    def admit(self, writes: bool, *, maybe_applied: bool = False) -> Permit:
        """The breaker's permit for one attempt.

        Raises Unavailable; OutcomeUnknown if an earlier attempt may have been applied.
        """
        answer = self.breaker.admit(writes)
        if isinstance(answer, Refusal):
            self._refused(answer, maybe_applied=maybe_applied)
        return answer

    def _refused(self, refusal: Refusal, *, maybe_applied: bool) -> NoReturn:
        with self._lock:
            self._calls += 1
            self._counts["refused"] += 1
            self._consecutive_failures += 1
            self._failed_at = self._clock()
            self._counts["failed"] += 1
        raised = OutcomeUnknown if maybe_applied else Unavailable
        kind = FailureKind.UNKNOWN_OUTCOME if maybe_applied else KINDS[refusal.reason]
        raise raised(kind, max(0.0, refusal.retry_at - self._clock()))

    def give_up(self, kind: FailureKind, name: str, error: BaseException, *, maybe_applied: bool) -> NoReturn:
        """Raise what the caller gets for an operation that failed for good."""
        with self._lock:
            self._calls += 1
            self._consecutive_failures += 1
            self._failed_at = self._clock()
            self._counts["failed"] += 1
        retry_after = self.breaker.snapshot().retry_after_seconds or _RETRY_AFTER_SECONDS
        log.warning(
            "database_away",
            operation=name,
            kind=kind.value,
            maybe_applied=maybe_applied,
            cause=_words(error),
        )
        raised = OutcomeUnknown if maybe_applied else Unavailable
        raise raised(kind, retry_after) from (
            error.__cause__ if isinstance(error, ClassifiedError) else error
        )

    def _transition(self, transition: Transition) -> None:
        with self._lock:
            self._counts["transitions"] += 1
        log_transition(transition)

    def snapshot(self) -> EngineSnapshot:
        """Without I/O, and without waiting for a call that is under way."""
        breaker = self.breaker.snapshot()
        pool = self._pool
        now = self._clock()
        answered_at, failed_at = self._answered_at, self._failed_at
        with self._lock:
            return EngineSnapshot(
                state=breaker.state,
                reason=breaker.reason,
                since=time.time() - breaker.since_seconds,
                retry_after_seconds=breaker.retry_after_seconds,
                pool_size=pool.size(),
                pool_max=self._pool_max,
                pool_in_use=pool.checkedout(),
                pool_idle=pool.checkedin(),
                failed_operations=self._consecutive_failures,
                failed_operations_total=self._counts["failed"],
                calls_total=self._calls,
                retries_total=self._counts["retries"],
                refused_total=self._counts["refused"],
                unknown_outcomes_total=self._counts["unknown_outcomes"],
                transitions_total=self._counts["transitions"],
                failures_by_kind=dict(self._kinds),
                answered_ago_seconds=None if answered_at is None else max(0.0, now - answered_at),
                failed_ago_seconds=None if failed_at is None else max(0.0, now - failed_at),
            )

    def dispose(self) -> None:
        """Close the idle connections. The engine is not used again."""
        self._engine.dispose()


def log_transition(transition: Transition) -> None:
    """As every breaker's is logged, with and without a fleet."""
    log.warning(
        "breaker_transition",
        before=transition.before.value,
        after=transition.after.value,
        reason=transition.reason.value if transition.reason else None,
        open_seconds=round(transition.open_seconds, 2),
    )


def _words(error: BaseException) -> str:
    """For the log, in one line. The driver's words hold host and role, never a password or a parameter; those of an
    error about the caller's own data may quote a user, so there is its class only.
    """
    if isinstance(error, ClassifiedError):
        return " ".join(str(error.__cause__).split())[:300] if error.__cause__ is not None else ""
    return type(getattr(error, "orig", error)).__name__
