"""Redis's clock, as a process knows it without asking."""

from __future__ import annotations

import time

CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, as Redis's does."""


class RedisClock:
    """What Redis said last, and what passed since. It is not behind Redis's clock, unless that was set forward since:
    what is judged by it counts as older than it is, by the time that the question took.

    kept_seconds -- for how long what Redis said is good.
    """

    def __init__(self, *, kept_seconds: float) -> None:
        self._kept_ms = 1000 * kept_seconds
        self._said: tuple[float, float] | None = None

    @staticmethod
    def asked_at_ms() -> float:
        """To be taken before Redis is asked."""
        return 1000 * time.clock_gettime(CLOCK)

    def note(self, said_ms: float, *, asked_at_ms: float) -> None:
        self._said = (said_ms, asked_at_ms)

    def now_ms(self) -> float | None:
        """Milliseconds since 1970; None if it is too long ago that Redis said so."""
        if self._said is None:
            return None
        said_ms, asked_at_ms = self._said
        passed_ms = self.asked_at_ms() - asked_at_ms
        return said_ms + passed_ms if passed_ms <= self._kept_ms else None
