"""What the breaker goes by: its states and reasons, which failures count, and its limits. The breaker of a process
and that of the fleet share them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dbcore.failures import FailureKind


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"


class BreakerReason(StrEnum):
    """Why it opened; each has its own open interval."""

    OUTAGE = "outage"
    SATURATION = "saturation"
    AMBIGUOUS = "ambiguous"
    QUOTA = "quota"
    STORAGE = "storage"
    CONFIGURATION = "configuration"


REASONS: Mapping[FailureKind, BreakerReason] = {
    FailureKind.OUTAGE: BreakerReason.OUTAGE,
    FailureKind.UNKNOWN_OUTCOME: BreakerReason.OUTAGE,
    FailureKind.SLOW: BreakerReason.SATURATION,
    FailureKind.SATURATION: BreakerReason.SATURATION,
    FailureKind.AMBIGUOUS: BreakerReason.AMBIGUOUS,
    FailureKind.QUOTA: BreakerReason.QUOTA,
    FailureKind.STORAGE: BreakerReason.STORAGE,
    FailureKind.CONFIGURATION: BreakerReason.CONFIGURATION,
}
"""Kinds that count against the database. Conflicts and data errors are not here: a server that says no is
well.
"""

KINDS: Mapping[BreakerReason | None, FailureKind] = {
    BreakerReason.OUTAGE: FailureKind.OUTAGE,
    BreakerReason.SATURATION: FailureKind.SATURATION,
    BreakerReason.AMBIGUOUS: FailureKind.AMBIGUOUS,
    BreakerReason.QUOTA: FailureKind.QUOTA,
    BreakerReason.STORAGE: FailureKind.STORAGE,
    BreakerReason.CONFIGURATION: FailureKind.CONFIGURATION,
    None: FailureKind.OUTAGE,  # forced open
}
"""What a call is told that was refused for this reason."""

TRIPS_AT_ONCE = frozenset({FailureKind.QUOTA, FailureKind.STORAGE})
"""One of these is enough: the server said in so many words that the next call will fare no better."""


@dataclass(frozen=True, slots=True)
class Interval:
    """How long it stays open: the first time, and at most, doubling in between.

    between_probes_seconds -- at most so long from one failed probe to the next, which then does not count as one more
        opening; only closing too early does. None: a failed probe is as bad as any opening.
    """

    first_seconds: float
    longest_seconds: float
    between_probes_seconds: float | None = None

    def open_seconds(self, openings: int, *, probed: bool) -> float:
        """After so many openings in a row; `probed` where a failed probe is why it opens again."""
        # The exponent is bounded: 2.0 ** 1024 would overflow after a long outage.
        seconds = min(self.longest_seconds, self.first_seconds * 2.0 ** min(openings, 32))
        if probed and self.between_probes_seconds is not None:
            return min(seconds, self.between_probes_seconds)
        return seconds

    def counts(self, *, probed: bool) -> bool:
        """Whether this opening makes the next one longer."""
        return not probed or self.between_probes_seconds is None


# Short between probes where one is cheap and people wait: service is to be back 2 s after the database. A database that
# is crowded or full can well bear one every second or so, while the calls are held back. A provider that does not say
# why may be over it in a moment, or out of quota. A quota mends by a person's hand, and asking costs some of it.
# Supavisor locks an address out after 10 failed logins in 150 s: hence configuration's. An outage's failed probes must
# not count: the disk that is full when the server is back would be tried again after two minutes for the length of the
# outage before.
_INTERVALS: Mapping[BreakerReason, Interval] = {
    BreakerReason.OUTAGE: Interval(0.5, 0.8, between_probes_seconds=0.8),
    BreakerReason.SATURATION: Interval(1.0, 30.0, between_probes_seconds=1.5),
    BreakerReason.AMBIGUOUS: Interval(5.0, 60.0),
    BreakerReason.QUOTA: Interval(60.0, 900.0),
    BreakerReason.STORAGE: Interval(1.0, 120.0, between_probes_seconds=1.5),
    BreakerReason.CONFIGURATION: Interval(30.0, 300.0),
}


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """When it opens and closes."""

    window_calls: int = 20
    window_seconds: float = 30.0
    minimum_calls: int = 5
    failure_rate: float = 0.5
    slow_rate: float = 0.8
    slow_call_seconds: float = 3.0
    probes_at_once: int = 2
    probes_to_close: int = 2
    probe_lease_seconds: float = 10.0
    jitter: float = 0.2
    intervals: Mapping[BreakerReason, Interval] = field(default_factory=lambda: _INTERVALS)
