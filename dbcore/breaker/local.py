"""The breaker: decides whether a call may try the database at all. Does no I/O, and its clock is injected.

    closed ──failure or slow-call rate, or one trips_at_once failure──▶ open ──interval over──▶ half-open
       ▲                                                             ▲                        │
       └────────────────── enough probes in a row succeed ───────────┴──── one probe fails ───┘

    forced open: an operator closed the door; disabled: an operator took it off. Neither leaves by itself.

Rates are over the last calls, not over seconds: a busy process must not need thousands of failures to
outweigh the successes of the seconds before, and a quiet one must get an answer at all. Calls older than the
window's age do not count.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from dbcore.breaker.rules import (
    REASONS,
    TRIPS_AT_ONCE,
    BreakerLimits,
    BreakerReason,
    BreakerState,
    Interval,
)
from dbcore.failures import FailureKind

__all__ = [
    "REASONS",
    "Breaker",
    "BreakerLimits",
    "BreakerReason",
    "BreakerSnapshot",
    "BreakerState",
    "Call",
    "Interval",
    "Permit",
    "Refusal",
    "RemoteState",
    "Transition",
]


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to try. What comes back with a permit of an earlier state is history, and does not count."""

    epoch: int
    lease: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """No leave to try. The same for all calls of an open interval, which cost next to nothing so."""

    reason: BreakerReason | None  # None: forced open by an operator
    retry_at: float  # on the breaker's clock


@dataclass(frozen=True, slots=True)
class Transition:
    """It changed its state."""

    before: BreakerState
    after: BreakerState
    reason: BreakerReason | None
    open_seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """What a call told about the database, for the fleet's window.

    failed -- it got no answer. slow -- it took too long, answered or not: such a call counts as slow alone.
    reason -- what a failed or slow call speaks for; None for one that went well.
    trips_at_once -- it leaves no doubt, and speaks for a server that all share.
    stuck -- it has not ended yet, though it takes longer than the slowest should.
    """

    age_seconds: float
    failed: bool
    slow: bool
    reason: BreakerReason | None
    trips_at_once: bool
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class RemoteState:
    """What the fleet's breaker is, as one of its processes must know it.

    epoch -- grows with every change of state; calls of an earlier one are history.
    overridden_at -- when an operator last overrode it, by whatever clock: only a change of it counts. 0: never.
    """

    epoch: int
    state: BreakerState
    reason: BreakerReason | None
    retry_after_seconds: float
    overridden_at: float


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """What it is now."""

    state: BreakerState
    reason: BreakerReason | None
    since_seconds: float
    retry_after_seconds: float
    calls: int
    failures: int
    slow_calls: int


FORCED_RETRY_AFTER_SECONDS = 60.0
FOLLOW_SECONDS = 6.0
"""How long the fleet's word holds without being said again. Should its messenger hang, the process goes by its own."""

_UNCOUNTED = Permit(epoch=-1)
_OPEN = BreakerState.OPEN  # an enum's member costs a look-up that a call can do without
_STORAGE = BreakerReason.STORAGE


class Breaker:
    """One per process. Safe to use from several threads."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        limits: BreakerLimits | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
        on_transition: Callable[[Transition], None] | None = None,
        on_failure: Callable[[], None] | None = None,
    ) -> None:
        """on_failure -- called for each failure that counts, inside the lock: it must only set a flag."""
        self._clock = clock
        self.limits = limits or BreakerLimits()
        self._uniform = uniform
        self._on_transition = on_transition
        self.on_failure = on_failure
        self._lock = threading.Lock()
        self._state = BreakerState.CLOSED
        self._reason: BreakerReason | None = None
        self._since = clock()
        self._open_until = 0.0
        self._openings = 0  # in a row, without having been closed in between
        self._epochs = itertools.count(1)
        self._permit = Permit(epoch=0)
        self.free_permit: Permit | None = self._permit
        """While closed: leave for any call, without asking. None: ask `admit`."""
        self._refusal = Refusal(None, 0.0)  # while open
        self._leases: dict[int, float] = {}
        self._lease_ids = itertools.count(1)
        self._probes_succeeded = 0
        self._window: deque[tuple[float, bool, bool]] = deque()
        self._failures = 0
        self._slow = 0
        self._slow_seconds = self.limits.slow_call_seconds
        # Moments of successes that are not in the window and among the calls yet: noting one takes no lock.
        self._successes: deque[float] = deque(maxlen=self.limits.window_calls)
        self._note_success = self._successes.append
        # The last calls, kept across our own transitions: what the fleet judges by.
        self._calls: deque[tuple[float, bool, bool, BreakerReason | None, bool]] = deque(
            maxlen=self.limits.window_calls
        )
        self._fleet_epoch = 0
        self._overridden_at: float | None = None  # None: nothing was heard of the fleet yet
        self.epoch_began = float("-inf")
        """When the fleet's last change of state was heard here."""
        self._following = False
        self._fleet_retry_at = 0.0

    def admit(self, writes: bool) -> Permit | Refusal:
        """May this call try? Whoever gets a permit reports back by `succeeded`, `failed` or `release`."""
        # The hot paths take no lock: what they read may be of a moment ago, as any answer is when it is used.
        permit = self.free_permit
        if permit is not None:
            return permit
        if (
            self._state is _OPEN
            and (writes or self._reason is not _STORAGE)
            and self._clock() < self._open_until
        ):
            return self._refusal
        with self._lock:
            answer, transition = self._admit(writes)
        self._tell(transition)
        return answer

    def _admit(self, writes: bool) -> tuple[Permit | Refusal, Transition | None]:
        now = self._clock()
        transition = None
        if self._state is BreakerState.CLOSED:
            return self._permit, None
        if self._state is BreakerState.DISABLED:
            return _UNCOUNTED, None
        if self._state is BreakerState.FORCED_OPEN:
            return Refusal(None, now + FORCED_RETRY_AFTER_SECONDS), None
        if self._reason is BreakerReason.STORAGE and not writes:
            return _UNCOUNTED, None  # a full disk can still be read
        if self._state is BreakerState.OPEN:
            if now < self._open_until:
                return self._refusal, None
            self._following = False
            transition = self._become(BreakerState.HALF_OPEN, self._reason)
        for lease in [lease for lease, until in self._leases.items() if until <= now]:
            del self._leases[lease]  # its prober died, or hangs
        if len(self._leases) >= self.limits.probes_at_once:
            return Refusal(self._reason, min(self._leases.values())), transition
        lease = next(self._lease_ids)
        self._leases[lease] = now + self.limits.probe_lease_seconds
        return Permit(self._permit.epoch, lease), transition

    def succeeded(self, permit: Permit, started: float) -> None:
        """The database answered; also when it answered no.

        started -- when the attempt began, on the breaker's clock.
        """
        now = self._clock()
        if permit is self.free_permit and now - started < self._slow_seconds:
            self._note_success(now)
            return
        slow = now - started >= self._slow_seconds
        with self._lock:
            transition = self._record(permit, FailureKind.SLOW if slow else None, failure=False)
        if transition is not None:
            self._tell(transition)

    def failed(self, permit: Permit, kind: FailureKind, *, trips_at_once: bool = False) -> None:
        """The database failed by one of the kinds in REASONS.

        trips_at_once -- one is enough to open.
        """
        with self._lock:
            transition = self._record(
                permit, kind, failure=True, trips_at_once=trips_at_once or kind in TRIPS_AT_ONCE
            )
        self._tell(transition)

    def release(self, permit: Permit) -> None:
        """The call ended without telling anything about the database."""
        if permit.lease is not None:
            with self._lock:
                self._leases.pop(permit.lease, None)

    def _record(
        self, permit: Permit, kind: FailureKind | None, *, failure: bool, trips_at_once: bool = False
    ) -> Transition | None:
        if permit.epoch != self._permit.epoch:
            return None
        self._gather_successes()
        now = self._clock()
        if self._state is BreakerState.HALF_OPEN and (
            permit.lease is None or self._leases.pop(permit.lease, None) is None
        ):
            return None
        slow = kind is FailureKind.SLOW
        self._calls.append(
            (now, failure, slow, None if kind is None else REASONS[kind], kind in TRIPS_AT_ONCE)
        )
        if kind is not None and self.on_failure is not None:
            self.on_failure()
        if self._state is BreakerState.HALF_OPEN:
            if kind is not None:
                return self._open(REASONS[kind])
            self._probes_succeeded += 1
            if self._probes_succeeded >= self.limits.probes_to_close:
                return self._become(BreakerState.CLOSED, None)
            return None

        self._count(now, failure=failure and not slow, slow=slow)
        if kind is None:
            return None
        calls = len(self._window)
        if trips_at_once or (
            calls >= self.limits.minimum_calls
            and (
                self._failures / calls >= self.limits.failure_rate
                or self._slow / calls >= self.limits.slow_rate
            )
        ):
            return self._open(REASONS[kind])
        return None

    def _gather_successes(self) -> None:
        while self._successes:
            at = self._successes.popleft()
            self._calls.append((at, False, False, None, False))
            self._count(at, failure=False, slow=False)

    def _count(self, at: float, *, failure: bool, slow: bool) -> None:
        """A call of this moment joins the window, and what is too old or too many leaves it."""
        window = self._window
        window.append((at, failure, slow))
        self._failures += failure
        self._slow += slow
        oldest = at - self.limits.window_seconds
        while len(window) > self.limits.window_calls or window[0][0] < oldest:
            _, was_failure, was_slow = window.popleft()
            self._failures -= was_failure
            self._slow -= was_slow

    def _open(self, reason: BreakerReason) -> Transition:
        interval = self.limits.intervals[reason]
        probed = self._state is BreakerState.HALF_OPEN
        seconds = interval.open_seconds(self._openings, probed=probed)
        # Downwards only, so that the longest interval is the longest. Processes must not all come back at
        # once.
        seconds *= 1.0 - self._uniform(0.0, self.limits.jitter)
        self._openings += interval.counts(probed=probed)
        self._open_until = self._clock() + seconds
        return self._become(BreakerState.OPEN, reason, seconds)

    def _become(
        self, state: BreakerState, reason: BreakerReason | None, open_seconds: float = 0.0
    ) -> Transition:
        transition = Transition(self._state, state, reason, open_seconds)
        self._gather_successes()
        self._permit = Permit(next(self._epochs))
        self.free_permit = self._permit if state is BreakerState.CLOSED else None
        self._refusal = Refusal(reason, self._fleet_retry_at if self._following else self._open_until)
        self._state = state
        self._reason = reason
        self._since = self._clock()
        self._leases.clear()
        self._probes_succeeded = 0
        self._window.clear()
        self._failures = self._slow = 0
        if state is BreakerState.CLOSED:
            self._openings = 0
        return transition

    def _tell(self, transition: Transition | None) -> None:
        # Outside the lock: the listener may well ask for a snapshot.
        if transition is not None and self._on_transition is not None:
            self._on_transition(transition)

    def calls(self) -> list[Call]:
        """The last calls that told something about the database, oldest first."""
        with self._lock:
            self._gather_successes()
            now = self._clock()
            oldest = now - self.limits.window_seconds
            return [
                Call(now - at, failed, slow, reason, trips_at_once)
                for at, failed, slow, reason, trips_at_once in self._calls
                if at >= oldest
            ]

    def apply_remote(self, order: RemoteState) -> None:
        """Be what the fleet is. Where the fleet is closed, this process may still be open for reasons of its own, until
        an operator's next word.

        While the fleet is open or half-open nothing is admitted here: whoever holds one of its leases probes.
        """
        with self._lock:
            transition = self._follow(order)
        self._tell(transition)

    def _follow(self, order: RemoteState) -> Transition | None:
        if order.epoch != self._fleet_epoch:
            self._fleet_epoch = order.epoch
            self.epoch_began = self._clock()
            self._gather_successes()
            self._calls.clear()
        overridden = self._overridden_at is not None and order.overridden_at not in {self._overridden_at, 0.0}
        self._overridden_at = order.overridden_at
        if order.state is BreakerState.CLOSED:
            if not self._following and (not overridden or self._state is BreakerState.CLOSED):
                return None
            self._following = False
            return self._become(BreakerState.CLOSED, None)
        self._following = True
        if order.state in {BreakerState.FORCED_OPEN, BreakerState.DISABLED}:
            return None if self._state is order.state else self._become(order.state, None)
        now = self._clock()
        self._fleet_retry_at = now + order.retry_after_seconds
        self._open_until = max(self._fleet_retry_at, now + FOLLOW_SECONDS)
        if self._state is BreakerState.OPEN and self._reason is order.reason:
            self._refusal = Refusal(order.reason, self._fleet_retry_at)
            return None
        return self._become(BreakerState.OPEN, order.reason, order.retry_after_seconds)

    def detach(self) -> None:
        """The fleet cannot be asked: go on by our own calls. An operator's word stands until another is heard."""
        with self._lock:
            if self._following and self._state is BreakerState.OPEN:
                self._following = False
                self._open_until = self._fleet_retry_at

    def force_open(self) -> None:
        """By an operator's word: admit nothing until `reset`."""
        self._set(BreakerState.FORCED_OPEN)

    def disable(self) -> None:
        """By an operator's word: admit everything and judge nothing until `reset`."""
        self._set(BreakerState.DISABLED)

    def reset(self) -> None:
        """Closed, as new."""
        self._set(BreakerState.CLOSED)

    def start_anew(self) -> None:
        """In a forked child: closed, as new. The parent's threads do not live here, and one may have held the lock."""
        self._lock = threading.Lock()
        self._become(BreakerState.CLOSED, None)
        self._calls.clear()

    def _set(self, state: BreakerState) -> None:
        with self._lock:
            transition = self._become(state, None)
        self._tell(transition)

    def snapshot(self) -> BreakerSnapshot:
        with self._lock:
            self._gather_successes()
            now = self._clock()
            retry_after = 0.0
            if self._state is BreakerState.OPEN:
                retry_after = max(0.0, self._refusal.retry_at - now)
            elif self._state is BreakerState.FORCED_OPEN:
                retry_after = FORCED_RETRY_AFTER_SECONDS
            return BreakerSnapshot(
                state=self._state,
                reason=self._reason,
                since_seconds=now - self._since,
                retry_after_seconds=retry_after,
                calls=len(self._window),
                failures=self._failures,
                slow_calls=self._slow,
            )
