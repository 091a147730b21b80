"""How fast a process may send by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from workers.broadcasts.cost import FREE_PER_SECOND, PAID_PER_SECOND


@dataclass(frozen=True)
class BulkGrant:
    """Who may be sent to now, and after how long to ask for the others."""

    granted: tuple[int, ...]
    retry_after_seconds: float


class Pace:
    """A bucket of this process's own, a little below Telegram's limits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens = 1.0
        self._at = time.monotonic()
        self._halted_until = 0.0

    def bulk(self, chat_ids: Sequence[int], *, paid: bool, intents: str | None = None) -> BulkGrant:
        rate = self.rate(paid=paid)
        with self._lock:
            now = time.monotonic()
            if now < self._halted_until:
                return BulkGrant((), self._halted_until - now)
            self._tokens = min(rate / 4, self._tokens + (now - self._at) * rate)
            self._at = now
            count = min(len(chat_ids), int(self._tokens))
            self._tokens -= count
            return BulkGrant(tuple(chat_ids[:count]), 0.0 if count == len(chat_ids) else max(0.02, 2 / rate))

    def halt(self, seconds: float) -> None:
        with self._lock:
            self._halted_until = max(self._halted_until, time.monotonic() + seconds)

    def rate(self, *, paid: bool) -> float:
        """Messages a second."""
        return 0.9 * (PAID_PER_SECOND if paid else FREE_PER_SECOND)
