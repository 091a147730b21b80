"""How many jobs a process claims at once, and for how long it goes on before Celery hands out the next message.

One job when there is one. While more wait, each round claims twice as many as the last, as long as rounds are quick:
what is claimed waits in this process, and could be done by another one if jobs are slow.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ballast.inbox.limits import CLAIMS_MAX

DRAINED_QUEUES = frozenset({"users", "balances", "transactions", "replies"})
"""Whose jobs are short. A broadcast's chunk takes seconds, and one process must not hold many."""

ROUND_SECONDS = 0.1
"""How long a round is to take."""

HELD_SECONDS_MAX = 0.5
"""A round that takes longer gives the rest of its jobs back, for other processes to do."""

SPLIT_SECONDS_MAX = 10.0
"""A batch of an app's jobs that fails is done again in halves for so long. What is left then is done one by one, each
with a handler's whole time.
"""

JOBS_MAX, SECONDS_MAX = 100, 0.5
"""For one message. Then Celery hands out the next one, which is of another queue if jobs wait there."""


class RoundSize:
    """Of a process: how many jobs its next round may have."""

    def __init__(self) -> None:
        self.jobs = 1

    def note(self, jobs: int, seconds: float) -> None:
        """A round of so many jobs took so long."""
        if seconds > ROUND_SECONDS:
            self.jobs = max(1, self.jobs // 2)
        elif jobs >= self.jobs and seconds < ROUND_SECONDS / 2:
            self.jobs = min(2 * self.jobs, CLAIMS_MAX)

    def reset(self) -> None:
        """A round met an unavailable database: the next jobs are tried one by one."""
        self.jobs = 1


class Turn:
    """Of one message: whether the process goes on."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._jobs = 0

    def note(self, jobs: int) -> None:
        self._jobs += jobs

    def is_over(self) -> bool:
        return self._jobs >= JOBS_MAX or self._clock() - self._began >= SECONDS_MAX
