"""How the database is, in one word, from what Redis holds. Pure; for the frontend's pages and for /dbstatus alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from dbcore.breaker_rules import BreakerState
from dbcore.fleet import FleetView

_LETS_THROUGH = frozenset({BreakerState.CLOSED, BreakerState.DISABLED})


class DatabaseState(StrEnum):
    """REACHABLE -- somebody listens there; one that may sleep was not woken to ask more."""

    OK = "ok"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"
    REACHABLE = "reachable"


def database_state(
    breaker: FleetView | None, probe: Mapping[str, Any] | None, answered_at: float | None
) -> DatabaseState:
    """UNKNOWN before the first probe.

    probe -- the last one. answered_at -- when the database last answered any process, by Redis's clock: one probe that
    failed says nothing once somebody else was answered.
    """
    if breaker is not None and breaker.state not in _LETS_THROUGH:
        return DatabaseState.UNAVAILABLE
    if probe is None:
        return DatabaseState.UNKNOWN
    if probe.get("ok"):
        return DatabaseState.REACHABLE if probe.get("by") == "tcp" else DatabaseState.OK
    if probe.get("missing_tables"):
        return DatabaseState.UNAVAILABLE  # it answers, and nothing works
    well_since = max(answered_at or 0.0, breaker.since if breaker else 0.0)
    return DatabaseState.UNAVAILABLE if probe.get("probed_at", 0.0) > well_since else DatabaseState.OK


def last_answered_at(processes: Iterable[Mapping[str, Any]]) -> float | None:
    """When the database last answered any of them, by Redis's clock; None where nobody says so.

    processes -- their reports, as the inbox has them.
    """
    answered = [
        report["beat_at"] - ago
        for report in processes
        if isinstance(ago := (report.get("database") or {}).get("answered_ago_seconds"), int | float)
    ]
    return max(answered, default=None)
