"""The jobs that a process is at work on, or may be: wider than its claims for moments, never narrower."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any

SHOWN_MAX = 10


class InHand:
    """Counts, for a second copy of a message is looked at while the first one's answer is still under way."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._holders: Counter[str] = Counter()
        self._begun: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def take(self, job_id: str, kind: str) -> None:
        with self._lock:
            self._holders[job_id] += 1
            self._begun.setdefault(job_id, (kind, self._clock()))

    def drop(self, job_id: str) -> None:
        with self._lock:
            self._holders[job_id] -= 1
            if self._holders[job_id] <= 0:
                del self._holders[job_id]
                self._begun.pop(job_id, None)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._holders)

    def doing(self) -> list[dict[str, Any]]:
        """The oldest few: kind, and for how many seconds."""
        with self._lock:
            now = self._clock()
            return [
                {"kind": kind, "seconds": round(now - began, 3)}
                for kind, began in islice(self._begun.values(), SHOWN_MAX)
            ]

    def without(self, job_ids: set[str]) -> set[str]:
        """Those of `job_ids` that are not in hand."""
        with self._lock:
            return {job_id for job_id in job_ids if job_id not in self._holders}
