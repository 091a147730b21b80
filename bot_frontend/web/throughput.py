"""How much the fleet did in the last minute, from its totals as they were and as they are. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ballast.queueing.envelope import queue_of
from ballast.queueing.kinds import TOLD_TO_WAIT
from ballast.status.counters import ANSWER_MS, name_of

MEASURED_SECONDS = 60.0
MEASURED_SECONDS_MIN = 10.0
"""A rate over less would jump with every command."""

BETWEEN_SECONDS = 2.0

_QUEUES = ("users", "balances", "transactions")
_COMMANDS = tuple(
    name_of("jobs_accepted", kind) for kind in sorted(TOLD_TO_WAIT) if queue_of(kind) in _QUEUES
)
_BOUNDS = (*ANSWER_MS, "inf")


@dataclass(frozen=True, slots=True)
class Throughput:
    """Of what people ask: commands on users, balances and transactions. The times are estimated from a histogram."""

    commands_per_minute: float
    answers_per_minute: float
    answer_p50_seconds: float | None
    answer_p95_seconds: float | None


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    commands: int
    answers: tuple[int, ...]  # by bucket


class ThroughputMeter:
    """Shown the totals again and again, says what came between."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()

    def see(self, totals: Mapping[str, int], at: float) -> Throughput | None:
        """at -- seconds on a steady clock. None until there is something to measure over."""
        now = _sample(totals, at)
        if self._samples and now.commands < self._samples[-1].commands:
            self._samples.clear()  # Redis began anew
        if not self._samples or at - self._samples[-1].at >= BETWEEN_SECONDS:
            self._samples.append(now)
        while at - self._samples[0].at > MEASURED_SECONDS:
            self._samples.popleft()
        before = self._samples[0] if self._samples else now
        seconds = at - before.at
        if seconds < MEASURED_SECONDS_MIN:
            return None
        answers = [is_now - was for is_now, was in zip(now.answers, before.answers, strict=True)]
        return Throughput(
            commands_per_minute=round(60 * (now.commands - before.commands) / seconds, 1),
            answers_per_minute=round(60 * sum(answers) / seconds, 1),
            answer_p50_seconds=_quantile(answers, 0.5),
            answer_p95_seconds=_quantile(answers, 0.95),
        )


def _sample(totals: Mapping[str, int], at: float) -> _Sample:
    return _Sample(
        at,
        sum(totals.get(name, 0) for name in _COMMANDS),
        tuple(
            sum(totals.get(name_of("answers", queue, str(bound)), 0) for queue in _QUEUES)
            for bound in _BOUNDS
        ),
    )


def _quantile(counts: Sequence[int], share: float) -> float | None:
    """Seconds, as if the answers of a bucket were spread evenly over it; past the last bound, that bound."""
    wanted = share * sum(counts)
    if wanted <= 0:
        return None
    below = 0.0
    for bound, count in zip(ANSWER_MS, counts, strict=False):
        if wanted <= count:
            return round((below + (bound - below) * wanted / count) / 1000, 3)
        wanted -= count
        below = bound
    return ANSWER_MS[-1] / 1000
