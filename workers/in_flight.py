"""The jobs that a process is at work on, or may be: wider than its claims for moments, never narrower."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

SHOWN_MAX = 10


class InFlight:
    """Counts, for a second copy of a message is looked at while the first one's answer is still under way."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._holders: Counter[str] = Counter()
        self._begun: dict[str, tuple[str, float]] = {}
        self._claiming: set[int] = set()
        self._claims_begun = 0
        self._suspects: dict[str, frozenset[int]] = {}
        self._lock = threading.Lock()

    def take(self, job_id: str, kind: str) -> None:
        with self._lock:
            self._holders[job_id] += 1
            self._suspects.pop(job_id, None)
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

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Inside, jobs are claimed whose ids are not known before. They are to be taken before it ends."""
        with self._lock:
            number = self._claims_begun = self._claims_begun + 1
            self._claiming.add(number)
        try:
            yield
        finally:
            with self._lock:
                self._claiming.discard(number)

    def forgotten(self, held: set[str]) -> set[str]:
        """Those of `held`, which the process held a moment ago, that it knows nothing of. Ask with each beat.

        While a claim is under way it may be what they come by: of those it is said only once that claim has ended.
        """
        with self._lock:
            unknown = held - self._holders.keys()
            self._suspects = {
                job_id: self._suspects.get(job_id, frozenset(self._claiming)) & self._claiming
                for job_id in unknown
            }
            return {job_id for job_id, claims in self._suspects.items() if not claims}
