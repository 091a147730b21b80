from __future__ import annotations

from dbcore.breaker_rules import BreakerState
from dbcore.fleet import FleetView
from dbcore.fleet.budget import FleetConnections
from workers.status_report import StatusReport, text


def test_one_job_and_one_process_are_told_of_in_the_singular() -> None:
    report = StatusReport(
        now=100.0,
        breaker=FleetView(BreakerState.CLOSED, None, 0.0, None, 0.0, ()),
        probe=None,
        answered_at=None,
        probes=[],
        waiting=1,
        oldest_seconds=2.0,
        processes=1,
        connections=FleetConnections(open=0, possible=8),
        budget=None,
        broadcasts=0,
        stuck=[],
    )
    said = text(report)
    assert "Waiting: 1 job, the oldest for 2 s" in said
    assert "Workers: 1 process, 0 of 8 connections open" in said
