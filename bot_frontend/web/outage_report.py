"""The outages of the last weeks for the pages, and as files: what failed, when it was noticed, who waited, until when.

Pure. Times are seconds since 1970 by this frontend's clock, and ISO 8601 in the CSV.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from bot_frontend.web.snapshot import StatusSnapshot
from dbcore.breaker.outages import Outage
from dbcore.text import isolated, one_line

_TIMES = ("failed_at", "began_at", "ended_at", "drained_at")

COLUMNS = (
    *_TIMES,
    "duration_seconds",
    "reason",
    "paused_by",
    "failed_probes",
    "jobs_waited",
    "longest_wait_seconds",
    "jobs_left",
)


def described(look: StatusSnapshot, outage: Outage, now: float) -> dict[str, Any]:
    until = look.by_redis_clock(now) if outage.ended_at is None else outage.ended_at
    times = {name: getattr(outage, name) for name in _TIMES}
    return {
        **{name: None if at is None else look.by_our_clock(at) for name, at in times.items()},
        "duration_seconds": round(max(0.0, until - outage.began_at), 3),
        "reason": outage.reason,
        "paused_by": outage.paused_by and isolated(one_line(outage.paused_by)),
        "failed_probes": outage.failed_probes,
        "jobs_waited": outage.jobs_waited,
        "longest_wait_seconds": round(outage.longest_wait_seconds, 3),
        "jobs_left": outage.jobs_left,
    }


def uptime(look: StatusSnapshot) -> list[dict[str, Any]]:
    """Of the last 24 hours, 7 and 30 days; empty where nothing is known."""
    return [asdict(each) for each in look.history.uptimes]


def report(look: StatusSnapshot, now: float) -> dict[str, Any]:
    """All that is known, newest first."""
    since = look.history.since
    return {
        "now": now,
        "age_seconds": look.age_seconds(now),
        "since": None if since is None else look.by_our_clock(since),
        "uptime": uptime(look),
        "outages": [described(look, outage, now) for outage in look.history.outages],
    }


def lines(look: StatusSnapshot, now: float) -> list[dict[str, Any]]:
    """The same outages for a spreadsheet."""
    return [
        row | {name: _iso(row[name]) for name in _TIMES} | {"paused_by": paused_by and one_line(paused_by)}
        for outage in look.history.outages
        for row, paused_by in [(described(look, outage, now), outage.paused_by)]
    ]


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
