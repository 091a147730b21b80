"""How many requests a caller of the API has per minute."""

from __future__ import annotations

import time
from collections.abc import Callable

CALLERS_MAX = 2_000


class RequestRate:
    """A token bucket for each caller, in this frontend: so many at once, and so many again each minute."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, caller: str) -> float:
        """Seconds until the caller may ask again; 0 where this request is one of its own."""
        now = self._clock()
        left, at = self._left.pop(caller, (float(self._per_minute), now))
        left = min(float(self._per_minute), left + (now - at) * self._per_minute / 60)
        if len(self._left) >= CALLERS_MAX:
            del self._left[next(iter(self._left))]  # the one that has not asked for longest
        self._left[caller] = (left - 1 if left >= 1 else left, now)
        return 0.0 if left >= 1 else (1 - left) * 60 / self._per_minute
