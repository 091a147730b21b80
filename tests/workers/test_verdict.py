"""What is said of the database, from what Redis holds."""

from __future__ import annotations

from typing import Any

import pytest

from dbcore.breaker_rules import BreakerReason, BreakerState
from dbcore.fleet import FleetView
from workers.verdict import DatabaseState, database_state, last_answered_at

FAILED: dict[str, Any] = {"ok": False, "by": "statement", "kind": "outage", "probed_at": 100.0}


def breaker(state: BreakerState = BreakerState.CLOSED, since: float = 0.0) -> FleetView:
    reason = BreakerReason.OUTAGE if state is BreakerState.OPEN else None
    return FleetView(state, reason, since, None, 0.0, ())


@pytest.mark.parametrize(
    ("answered_at", "closed_since", "expected"),
    [
        (None, 0.0, DatabaseState.UNAVAILABLE),
        (99.0, 50.0, DatabaseState.UNAVAILABLE),
        (101.0, 50.0, DatabaseState.OK),
        (None, 101.0, DatabaseState.OK),
    ],
)
def test_a_failed_probe_counts_until_anybody_has_an_answer(
    answered_at: float | None, closed_since: float, expected: DatabaseState
) -> None:
    assert database_state(breaker(since=closed_since), FAILED, answered_at) is expected


def test_an_open_breaker_outweighs_an_answer_of_a_moment_ago() -> None:
    well = {**FAILED, "ok": True}
    assert database_state(breaker(BreakerState.OPEN), well, 200.0) is DatabaseState.UNAVAILABLE
    assert database_state(breaker(BreakerState.DISABLED), well, 200.0) is DatabaseState.OK


def test_missing_tables_stand_though_the_database_answers() -> None:
    unmigrated = {**FAILED, "kind": None, "missing_tables": ["users"]}
    assert database_state(breaker(), unmigrated, 200.0) is DatabaseState.UNAVAILABLE


def test_the_youngest_answer_counts_and_a_report_without_one_is_passed_over() -> None:
    reports: list[dict[str, Any]] = [
        {"beat_at": 100.0, "database": {"answered_ago_seconds": 3.0}},
        {"beat_at": 90.0, "database": {"answered_ago_seconds": 0.5}},
        {"beat_at": 120.0, "database": {"answered_ago_seconds": None}},
        {"beat_at": 120.0, "database": {}},
        {"beat_at": 120.0},
    ]
    assert last_answered_at(reports) == 97.0
    assert last_answered_at([]) is None
