"""The time as the local Telegram sees it."""

from __future__ import annotations

import time


class Clock:
    """Wall time plus an offset that a test may add to, so that expiry is tried without waiting."""

    def __init__(self) -> None:
        self._ahead_seconds = 0.0

    def now(self) -> float:
        return time.time() + self._ahead_seconds

    def date(self) -> int:
        """Unix seconds, as the Bot API writes dates."""
        return int(self.now())

    def set_right(self) -> None:
        self._ahead_seconds = 0.0

    def advance(self, seconds: float) -> float:
        self._ahead_seconds += seconds
        return self._ahead_seconds
