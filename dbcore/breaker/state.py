"""The fleet's breaker as a value: what it is, and what it becomes. Does no I/O; time and chance are arguments.

    closed ──the fleet's calls fail──▶ open ──interval over, a lease──▶ half-open ──enough probes──▶ closed
                                         ▲                                  │
                                         └──────── one probe fails ─────────┘

    forced open, disabled: by an operator's word, from any state, until another word.
    held: forced open with an end. Who holds it says so again and again; when that ends, so does the hold.

Each step makes a new value with a higher version. Whoever keeps the value takes a new one only where it follows
the one kept (compare and set), so of two processes that decide at once one decides again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from dbcore.breaker.local import Call, RemoteState
from dbcore.breaker.rules import BreakerLimits, BreakerReason, BreakerState

RECENT_SECONDS = 2.0
"""Calls as young as this all count; older ones only fill up the window. What went well five seconds ago in a process
that has had no work since says nothing against failures of now.
"""

STUCK_CALLS_MIN = 2
"""So many calls that hang at once, while no other is answered, are a frozen server: nobody waits for deadlines."""

LEASE_SECONDS = 4.0
"""How long a prober may take. Longer than a probe's deadline (sync.py): who holds a lease for longer is dead."""

STEADY_SECONDS = 30.0
"""Closed for as long as this, the next opening starts with the shortest interval again. A database that answers a probe
and fails under work would otherwise be tried at the shortest interval forever.
"""

_PROBED = frozenset({BreakerState.OPEN, BreakerState.HALF_OPEN})
BLOCKING_STATES = _PROBED | {BreakerState.FORCED_OPEN}
"""Those in which no call is let through, but as a probe."""

_HALF_OPEN_RETRY_AFTER_SECONDS = 0.2
_FORCED_RETRY_AFTER_SECONDS = 60.0


class StateUnreadable(Exception):
    """What is kept in Redis makes no state of this release: a newer one's, most likely."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One process's leave to probe, until a time on Redis's clock."""

    id: str
    process: str
    until: float


@dataclass(frozen=True, slots=True)
class FleetState:
    """All times are seconds since 1970 on Redis's clock. The aliases are the names in Redis, which all releases share.

    version -- grows with every step; epoch -- only with those that change `state` or `reason`.
    since -- when it became so; a probe that fails makes it open anew.
    until -- when the next probe is due, while it is open; when the hold ends, while it is forced open: 0 if by nothing
        but a word.
    open_since -- when calls were last let through; 0 while they are.
    openings -- in a row, without having been closed for long in between.
    overridden_at, overridden_by -- when an operator last overrode it, and who; 0: never.
    open_reason -- the first one since calls were last let through.
    failed_at -- when the first of the calls failed that opened it; 0 while they are let through, and if not by calls.
    """

    version: int = 0
    epoch: int = 0
    state: BreakerState = BreakerState.CLOSED
    reason: BreakerReason | None = None
    since: float = 0.0
    open_since: Annotated[float, Field(alias="shut_since")] = 0.0
    until: float = 0.0
    openings: int = 0
    probes_succeeded: int = 0
    leases: tuple[Lease, ...] = ()
    overridden_at: Annotated[float, Field(alias="told_at")] = 0.0
    overridden_by: Annotated[str, Field(alias="told_by")] = ""
    open_reason: Annotated[BreakerReason | None, Field(alias="shut_reason")] = None
    failed_at: float = 0.0

    def to_json(self) -> str:
        return _STATE.dump_json(self, by_alias=True).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> FleetState:
        """What another release wrote may lack fields, or have some of its own. Raises StateUnreadable."""
        try:
            return _STATE.validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"{part}: " for part in first["loc"])
            raise StateUnreadable(f"{where}{first['msg']}") from error

    def retry_after_seconds(self, now: float) -> float:
        match self.state:
            case BreakerState.OPEN:
                return max(0.0, self.until - now)
            case BreakerState.HALF_OPEN:
                return _HALF_OPEN_RETRY_AFTER_SECONDS
            case BreakerState.FORCED_OPEN:
                return _FORCED_RETRY_AFTER_SECONDS
        return 0.0

    def order(self, now: float) -> RemoteState:
        """What each process of the fleet is to be."""
        return RemoteState(
            self.epoch, self.state, self.reason, self.retry_after_seconds(now), self.overridden_at
        )

    def evaluated(
        self, calls: Iterable[Call], *, now: float, limits: BreakerLimits, jitter: float
    ) -> FleetState:
        """Opened where the fleet's calls say so, else as it was.

        jitter -- by which part the interval is shortened, 0 to `limits.jitter`.
        """
        if self.state is not BreakerState.CLOSED:
            return self
        calls = list(calls)
        reason = failing(calls, limits)
        if reason is None:
            return self
        opened = self._opened(reason, now, limits, jitter)
        return replace(opened, failed_at=now - first_failure_seconds(calls, limits))

    def with_lease(self, lease_id: str, process: str, *, now: float, limits: BreakerLimits) -> FleetState:
        """With one more lease where it is time to probe and a place is free, else as it was."""
        if self.state is BreakerState.OPEN and now >= self.until:
            return self._become(
                BreakerState.HALF_OPEN, self.reason, now, leases=(_lease(lease_id, process, now),)
            )
        if self.state is not BreakerState.HALF_OPEN:
            return self
        live = tuple(lease for lease in self.leases if lease.until > now)
        if len(live) >= limits.probes_at_once or any(lease.process == process for lease in live):
            return self
        return replace(self, version=self.version + 1, leases=(*live, _lease(lease_id, process, now)))

    def with_probe_result(
        self,
        lease_id: str,
        failure: BreakerReason | None,
        *,
        now: float,
        limits: BreakerLimits,
        jitter: float,
    ) -> FleetState:
        """After a probe. One whose lease is over, or of an earlier half-open, changes nothing."""
        if self.state is not BreakerState.HALF_OPEN:
            return self
        if not any(lease.id == lease_id and lease.until > now for lease in self.leases):
            return self
        if failure is not None:
            return self._opened(failure, now, limits, jitter)
        succeeded = self.probes_succeeded + 1
        if succeeded >= limits.probes_to_close:
            return self._become(BreakerState.CLOSED, None, now, openings=self.openings)
        rest = tuple(lease for lease in self.leases if lease.id != lease_id)
        return replace(self, version=self.version + 1, leases=rest, probes_succeeded=succeeded)

    def overridden(self, state: BreakerState, *, now: float, by: str = "") -> FleetState:
        """By an operator's word: FORCED_OPEN, DISABLED, or CLOSED for as the calls will have it.

        by -- whose word it is.
        """
        return replace(self._become(state, None, now), overridden_at=now, overridden_by=by)

    @property
    def is_held(self) -> bool:
        """Whether it is forced open with an end."""
        return self.state is BreakerState.FORCED_OPEN and self.until > 0

    def held(self, *, until: float, now: float, by: str) -> FleetState:
        """Forced open until then, or for longer than before. Somebody else's word stays as it is.

        by -- who holds it, and says so again before that.
        """
        if self.is_held and self.overridden_by == by:
            return replace(self, version=self.version + 1, until=until)
        if self.state in {BreakerState.FORCED_OPEN, BreakerState.DISABLED}:
            return self
        held = self._become(BreakerState.FORCED_OPEN, None, now, until=until)
        return replace(held, overridden_at=now, overridden_by=by)

    def let_go(self, *, now: float, by: str | None = None) -> FleetState:
        """The hold is over: closed. by -- whose; None: whoever's, if it was not said again in time."""
        if not self.is_held or (by is None and now < self.until) or by not in {None, self.overridden_by}:
            return self
        return replace(self._become(BreakerState.CLOSED, None, now), overridden_at=now)

    def _opened(self, reason: BreakerReason, now: float, limits: BreakerLimits, jitter: float) -> FleetState:
        steady = self.state is BreakerState.CLOSED and now - self.since >= STEADY_SECONDS
        openings = 0 if steady else self.openings
        interval = limits.intervals[reason]
        probed = self.state is BreakerState.HALF_OPEN
        seconds = interval.open_seconds(openings, probed=probed)
        return self._become(
            BreakerState.OPEN,
            reason,
            now,
            until=now + seconds * (1.0 - jitter),
            openings=openings + interval.counts(probed=probed),
        )

    def _become(
        self,
        state: BreakerState,
        reason: BreakerReason | None,
        now: float,
        *,
        until: float | None = None,
        openings: int | None = None,
        leases: tuple[Lease, ...] = (),
    ) -> FleetState:
        kept = state in _PROBED
        open_since = self._shut_since(state, now)
        return FleetState(
            version=self.version + 1,
            epoch=self.epoch + 1,
            state=state,
            reason=reason,
            since=now,
            open_since=open_since,
            until=until if until is not None else (self.until if kept else 0.0),
            openings=openings if openings is not None else (self.openings if kept else 0),
            leases=leases,
            overridden_at=self.overridden_at,
            overridden_by=self.overridden_by,
            open_reason=reason if open_since == now else self.open_reason if open_since else None,
            failed_at=self.failed_at if open_since == self.open_since else 0.0,
        )

    def _shut_since(self, state: BreakerState, now: float) -> float:
        if state not in BLOCKING_STATES:
            return 0.0
        return (self.open_since or now) if state in _PROBED and self.state in _PROBED else now


_STATE = TypeAdapter(FleetState)


def _lease(lease_id: str, process: str, now: float) -> Lease:
    return Lease(lease_id, process, now + LEASE_SECONDS)


def failing(calls: Iterable[Call], limits: BreakerLimits) -> BreakerReason | None:
    """What the fleet's calls say: why it must open, or None.

    All recent calls count, and of the older ones as many of the youngest as fill the window up. One failure that trips
    at once is enough, and so are calls that hang while none is answered.
    """
    calls = list(calls)
    stuck = sum(call.stuck for call in calls)
    if stuck >= STUCK_CALLS_MIN and all(call.failed or call.age_seconds > RECENT_SECONDS for call in calls):
        return BreakerReason.OUTAGE
    window: list[Call] = []
    for call in sorted(calls, key=lambda call: call.age_seconds):
        if call.age_seconds > limits.window_seconds:
            break
        if call.age_seconds > RECENT_SECONDS and len(window) >= limits.window_calls:
            break
        if call.trips_at_once:
            return call.reason
        window.append(call)
    reasons = Counter(call.reason for call in window if call.reason is not None)
    if not reasons or len(window) < limits.minimum_calls:
        return None
    failed = sum(call.failed and not call.slow for call in window) / len(window)
    slow = sum(call.slow for call in window) / len(window)
    if failed >= limits.failure_rate or slow >= limits.slow_rate:
        return reasons.most_common(1)[0][0]
    return None


def first_failure_seconds(calls: Sequence[Call], limits: BreakerLimits) -> float:
    """How long ago the first of these calls failed: since the last that was answered, unless some were answered since
    the last that failed.
    """
    failed = [
        call.age_seconds
        for call in calls
        if call.reason is not None and call.age_seconds <= limits.window_seconds
    ]
    answered = min((call.age_seconds for call in calls if call.reason is None), default=math.inf)
    in_a_row = [age for age in failed if age < answered]
    return max(in_a_row or failed, default=0.0)
