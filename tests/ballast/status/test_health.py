"""What is said of the database, from what Redis holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ballast.inbox import Overdue
from ballast.status.health import (
    DatabaseState,
    HealthInputs,
    HealthLevel,
    database_state,
    failures_in_a_row,
    last_answered_at,
    summarize,
)
from dbcore.breaker import FleetView
from dbcore.breaker.rules import BreakerReason, BreakerState

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


def test_what_nobody_looked_at_lately_is_unknown_but_that_the_breaker_lets_nothing_through() -> None:
    well = {**FAILED, "ok": True}  # probed at 100
    for probe in (well, FAILED):
        assert database_state(breaker(), probe, None, 101.0) is DatabaseState.UNKNOWN
    assert database_state(breaker(), well, 102.0, 101.0) is DatabaseState.OK
    assert database_state(breaker(BreakerState.OPEN), well, None, 101.0) is DatabaseState.UNAVAILABLE


def test_missing_tables_stand_though_the_database_answers() -> None:
    unmigrated = {**FAILED, "kind": None, "missing_tables": ["users"]}
    assert database_state(breaker(), unmigrated, 200.0) is DatabaseState.UNAVAILABLE
    assert database_state(breaker(), {**FAILED, "kind": "schema"}, 200.0) is DatabaseState.UNAVAILABLE


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


@pytest.mark.parametrize(
    ("answered_ago", "expected"),
    [(None, 7), (5.0, 7), (1.0, 0)],  # seconds; the failures ended two seconds ago
)
def test_a_success_of_any_process_ends_the_row_of_failures(answered_ago: float | None, expected: int) -> None:
    idle = {"failed_operations": 7, "failed_ago_seconds": 2.0, "answered_ago_seconds": 60.0}
    busy = {"failed_operations": 0, "failed_ago_seconds": None, "answered_ago_seconds": answered_ago}
    reports: list[dict[str, Any]] = [
        {"beat_at": 100.0, "database": idle},
        {"beat_at": 100.0, "database": busy},
        {"beat_at": 100.0},
    ]
    assert failures_in_a_row(reports) == expected
    assert failures_in_a_row([]) is None


WELL = HealthInputs(
    takes_jobs=True,
    seen=True,
    database=DatabaseState.OK,
    breaker=breaker(),
    probe_kind=None,
    intake_error=None,
    processes=3,
    unattended=(),
    waiting=0,
    held_back=0,
    oldest_seconds=0.0,
)
AWAY: dict[str, Any] = {
    "database": DatabaseState.UNAVAILABLE,
    "breaker": breaker(BreakerState.OPEN, since=1.0),
}


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({}, HealthLevel.OK, "the database is well"),
        ({"database": DatabaseState.REACHABLE}, HealthLevel.OK, "was not woken"),
        ({"waiting": 900, "held_back": 800}, HealthLevel.WORKING_THROUGH, "900 jobs are still waiting"),
        ({"waiting": 1, "oldest_seconds": 40.0}, HealthLevel.WORKING_THROUGH, "1 job is still waiting"),
        ({"intake_error": "Conflict"}, HealthLevel.DEGRADED, "another process asks with the same token"),
        ({"intake_error": "TimedOut"}, HealthLevel.DEGRADED, "TimedOut"),
        ({"unattended": ("users",)}, HealthLevel.DEGRADED, "Jobs wait in users"),
        ({"processes": 0, "unattended": ("users",)}, HealthLevel.DEGRADED, "Start the workers"),
        (AWAY, HealthLevel.AWAY, "see to its server"),
        (AWAY | {"processes": 0}, HealthLevel.AWAY, "Commands wait in Redis"),
        (
            AWAY
            | {
                "breaker": replace(breaker(BreakerState.FORCED_OPEN), paused_by="web:Nadia"),
                "paused_seconds": 35.0,
            },
            HealthLevel.AWAY,
            "Paused by web:Nadia for 35 s. ",
        ),
        ({"paused_queues": ["users"]}, HealthLevel.DEGRADED, "Jobs in users wait until somebody resumes it"),
        ({"lost_to_one_job": 3}, HealthLevel.DEGRADED, "ended 3 of them"),
        (
            {"overdue": Overdue(29.0, "balances"), "oldest_seconds": 40.0},
            HealthLevel.DEGRADED,
            "29 s in the queue balances",
        ),
        ({"failed_jobs": 500}, HealthLevel.DEGRADED, "Retry or discard"),
        ({"alarms": 1}, HealthLevel.DEGRADED, "The line below says"),
        ({"answers_seconds": 45.0}, HealthLevel.DEGRADED, "some answers took 45 s"),
        ({"answers_seconds": 9.0}, HealthLevel.OK, "the database is well"),
        (
            AWAY | {"breaker": breaker(), "probe_kind": "slow"},
            HealthLevel.AWAY,
            "nobody had an answer since (slow)",
        ),
        (AWAY | {"breaker": breaker()}, HealthLevel.AWAY, "is the schema migrated?"),
        ({"seen": False}, HealthLevel.UNKNOWN, "of another release"),
        (AWAY | {"takes_jobs": False, "seen": False}, HealthLevel.DOWN, "see to Redis"),
    ],
)
def test_the_worst_of_what_holds_is_said(changes: dict[str, Any], state: HealthLevel, words: str) -> None:
    verdict = summarize(replace(WELL, **changes))
    assert verdict.state is state
    assert words in verdict.words
    assert verdict.title
    assert not verdict.title.endswith(".")


@pytest.mark.parametrize("reason", BreakerReason)
def test_each_reason_of_the_breaker_comes_with_what_to_do(reason: BreakerReason) -> None:
    opened = FleetView(BreakerState.OPEN, reason, 1.0, None, 0.0, ())
    verdict = summarize(replace(WELL, database=DatabaseState.UNAVAILABLE, breaker=opened))
    assert verdict.state is HealthLevel.AWAY
    assert ("can only be read" in verdict.title) == (reason is BreakerReason.STORAGE)
