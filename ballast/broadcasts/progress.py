"""How far a broadcast is, as a line to read: a bar, the counts, the rate as measured and the time that is left."""

from __future__ import annotations

from collections import deque

from ballast.texts.formats import duration
from dbcore.broadcasts.broadcasts import BroadcastStatus, Progress

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


def line(broadcast: Progress, rate: float | None = None) -> str:
    """rate -- recipients a second, where it was measured."""
    audience = broadcast.audience
    if audience is None:
        when = f" for {broadcast.scheduled_for:%Y-%m-%d %H:%M %Z}" if broadcast.scheduled_for else ""
        return f"{broadcast.status}{when}"
    share = broadcast.done / audience if audience else 1.0
    parts = [
        f"{bar(share)} {share:4.0%}  {broadcast.done:,} of {audience:,}",
        f"sent {broadcast.sent:,}, blocked {broadcast.blocked:,}, failed {broadcast.failed:,}, "
        f"unknown {broadcast.unknown:,}",
    ]
    if broadcast.status is BroadcastStatus.HALTED and broadcast.halted_reason:
        parts.append(f"{broadcast.status}: {broadcast.halted_reason}")
    elif broadcast.status is not BroadcastStatus.SENDING:
        parts.append(str(broadcast.status))
    elif rate:
        parts.append(f"{rate:.1f}/s, {duration(broadcast.left / rate)} left")
    return "  ".join(parts)
