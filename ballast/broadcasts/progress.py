"""How far a broadcast is: a bar, and the rate as measured."""

from __future__ import annotations

from collections import deque

MEASURED_SECONDS = 30.0
BAR_LENGTH = 24


class Meter:
    """Recipients a second over the last half minute, of what it was shown."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, done: int, now: float) -> float | None:
        """now -- seconds on any steady clock. None until there is something to measure."""
        self._seen.append((now, done))
        while now - self._seen[0][0] > MEASURED_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        return (done - before) / (now - since) if now > since and done > before else None


def bar(share: float, length: int = BAR_LENGTH) -> str:
    """share -- from 0 to 1."""
    full = int(share * length)
    return "█" * full + "░" * (length - full)
