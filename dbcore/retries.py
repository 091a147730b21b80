"""What a failed call may still try: one row a kind, each with a budget of its own.

Conflicts are the price of concurrency and over in milliseconds; outages are not, and retries on them are the
load that keeps a database down. So one budget never pays for the other. The numbers for outages are AWS's of
2026: 50 ms for what is transient, 1 s for throttling, 3 attempts, full jitter.

Beyond a call's own budget stands the fleet's: however many processes there are, together they retry only so often.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from dbcore.failures import FailureKind


@dataclass(frozen=True, slots=True)
class Retries:
    """At most `most` more attempts, the n-th after a wait drawn from 0 to base * 2 ** n seconds."""

    most: int
    base_seconds: float
    longest_seconds: float


_NONE = Retries(0, 0.0, 0.0)
_OUTAGE = Retries(2, 0.05, 1.0)
RETRIES: dict[FailureKind, Retries] = {
    FailureKind.CONFLICT: Retries(10, 0.001, 0.05),
    FailureKind.SLOW: Retries(1, 0.05, 0.05),
    FailureKind.OUTAGE: _OUTAGE,
    FailureKind.UNKNOWN_OUTCOME: _OUTAGE,
    FailureKind.SATURATION: Retries(2, 1.0, 2.0),
}


class RetryBudget:
    """The retries of one call."""

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self._uniform = uniform
        self._spent: dict[Retries, int] = {}

    def wait_seconds(self, kind: FailureKind) -> float | None:
        """How long to wait before trying again, or None when this kind's budget is spent."""
        retries = RETRIES.get(kind, _NONE)
        spent = self._spent.get(retries, 0)
        if spent >= retries.most:
            return None
        self._spent[retries] = spent + 1
        return self._uniform(0.0, min(retries.longest_seconds, retries.base_seconds * 2**spent))


PURSE_MOST = 10
PURSE_PER_SECOND = 1.0


class RetryPurse:
    """This process's share of the fleet's retries. Filled from the fleet's bucket while Redis is there, and slowly by
    itself while it is not. Conflicts are not paid for: they are no sign of trouble, and over in milliseconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._retries = PURSE_MOST
        self._filled_by_itself_at: float | None = clock()

    def pays(self, kind: FailureKind) -> bool:
        """Take one retry out. False where there is none left."""
        if kind is FailureKind.CONFLICT:
            return True
        with self._lock:
            self._fill_by_itself()
            if self._retries < 1:
                return False
            self._retries -= 1
            return True

    def wanted(self) -> int:
        """How many would fill it."""
        with self._lock:
            return PURSE_MOST - self._retries

    def put(self, retries: int) -> None:
        """What the fleet's bucket granted."""
        with self._lock:
            self._retries = min(PURSE_MOST, self._retries + retries)
            self._filled_by_itself_at = None

    def go_alone(self) -> None:
        """The fleet's bucket is out of reach."""
        with self._lock:
            if self._filled_by_itself_at is None:
                self._filled_by_itself_at = self._clock()

    def _fill_by_itself(self) -> None:
        if self._filled_by_itself_at is None:
            return
        grown = int((self._clock() - self._filled_by_itself_at) * PURSE_PER_SECOND)
        if grown > 0:
            self._retries = min(PURSE_MOST, self._retries + grown)
            self._filled_by_itself_at += grown / PURSE_PER_SECOND
