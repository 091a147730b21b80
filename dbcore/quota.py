"""How long a plan's compute hours will last, where they are known. Pure; it goes by breaker/compute_usage.py.

A compute that sleeps while nobody uses it is paid for while it is awake: from each use until so long after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

OBSERVED_SECONDS_MIN = 3600.0
"""A forecast from less than an hour would be a guess."""


class QuotaState(StrEnum):
    UNKNOWN = "unknown"
    ENOUGH = "enough"
    SHORT = "short"
    """At the present pace it is used up before the plan renews."""
    USED_UP = "used_up"


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds that the database was awake for us in this period, and since when somebody has been counting."""

    awake_seconds: float
    observed_since: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """Times are seconds since 1970. `used_hours` is an estimate, and leaves out what was before `observed_since`."""

    state: QuotaState
    compute_hours: float | None
    used_hours: float | None
    observed_since: float | None
    used_up_at: float | None
    renews_at: float


def period(now: float, renews_on_day: int) -> tuple[float, float]:
    """Begin and end of the plan's month that `now` is in, at midnight UTC. renews_on_day -- 1 to 28."""
    today = datetime.fromtimestamp(now, UTC)
    begin = today.replace(day=renews_on_day, hour=0, minute=0, second=0, microsecond=0)
    if begin > today:
        begin = _month_after(begin, -1)
    return begin.timestamp(), _month_after(begin, 1).timestamp()


def _month_after(moment: datetime, months: int) -> datetime:
    month = moment.month - 1 + months
    return moment.replace(year=moment.year + month // 12, month=month % 12 + 1)


def forecast(compute_hours: float | None, usage: Usage | None, *, now: float, renews_on_day: int) -> Forecast:
    """Goes on as it went since it is observed. UNKNOWN where the plan is not set or little was observed yet."""
    begin, renews_at = period(now, renews_on_day)
    used = None if usage is None else usage.awake_seconds / 3600
    state, used_up_at = QuotaState.UNKNOWN, None
    if compute_hours is not None and usage is not None and used is not None:
        observed_seconds = now - max(begin, usage.observed_since)
        if used >= compute_hours:
            state = QuotaState.USED_UP
        elif observed_seconds >= OBSERVED_SECONDS_MIN:
            pace = used / observed_seconds
            left_seconds = (compute_hours - used) / pace if pace else float("inf")
            short = now + left_seconds < renews_at
            state = QuotaState.SHORT if short else QuotaState.ENOUGH
            used_up_at = now + left_seconds if short else None
    return Forecast(
        state=state,
        compute_hours=compute_hours,
        used_hours=None if used is None else round(used, 3),
        observed_since=None if usage is None else usage.observed_since,
        used_up_at=used_up_at,
        renews_at=renews_at,
    )
