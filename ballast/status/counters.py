"""What the fleet did in all, counted in Redis: these outlive every process, and so can be told apart from a restart.

    ballast:totals            hash   name -> count, ever since Redis was empty
    ballast:totals:<owner>    hash   how much of it one process has told of itself

What Redis itself is part of is counted there, in the script that does it (jobs taken and done, recipients recorded).
The rest is counted by each process in a `LocalCounters` and told with its heartbeat; what a process counted in the half
second before it was killed is lost.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import cast

import redis

KEY = "ballast:totals"

NAMES_MAX = 500
"""Of one process. Past it nothing new is counted: names are few by design, and this says so."""

ANSWER_MS = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 3_600_000)
"""Upper bounds of the time from a job's intake to its answer; what took longer is in the bucket `inf`."""


def name_of(*parts: str) -> str:
    """A name and its labels as one field of the hash."""
    return "|".join(parts)


class LocalCounters:
    """What one process counts. For all of its threads."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, *parts: str, by: int = 1) -> None:
        name = name_of(*parts)
        with self._lock:
            if name in self._counts or len(self._counts) < NAMES_MAX:
                self._counts[name] += by

    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)


def read(client: redis.Redis) -> dict[str, int]:
    """Raises redis.RedisError where Redis cannot be asked."""
    found = cast(dict[bytes, bytes], client.hgetall(KEY))
    return {name.decode(errors="replace"): int(count) for name, count in found.items()}
