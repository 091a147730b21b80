"""The jobs that a process is at work on, or may be: wider than its claims for moments, never narrower."""

from __future__ import annotations

import threading
from collections import Counter


class InHand:
    """Counts, for a second copy of a message is looked at while the first one's answer is still under way."""

    def __init__(self) -> None:
        self._holders: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, job_id: str) -> None:
        with self._lock:
            self._holders[job_id] += 1

    def drop(self, job_id: str) -> None:
        with self._lock:
            self._holders[job_id] -= 1
            if self._holders[job_id] <= 0:
                del self._holders[job_id]

    def without(self, job_ids: set[str]) -> set[str]:
        """Those of `job_ids` that are not in hand."""
        with self._lock:
            return {job_id for job_id in job_ids if job_id not in self._holders}
