"""What /dbstatus says. On a real Redis; tests/acceptance/test_admins.py asks for it in Telegram."""

from __future__ import annotations

from dataclasses import replace

import redis

from ballast.texts import speaking
from dbcore.breaker import FleetView, override
from dbcore.breaker.connection_budget import FleetConnections
from dbcore.breaker.rules import BreakerReason, BreakerState
from dbcore.settings import Settings
from workers import status_report as report
from workers.status_report import StatusReport


def told(client: redis.Redis) -> str:
    return report.text(report.read(client, budget=None), Settings())


def test_a_breaker_that_cannot_be_read_is_unknown_and_the_rest_is_told(client: redis.Redis) -> None:
    client.rpush("ballast:breaker", "closed")
    lines = told(client).splitlines()
    assert lines[0] == "<b>The database has not been checked recently.</b>"
    assert lines[1].startswith("Breaker: unknown, because what Redis holds of it cannot be read")
    assert "Waiting: 0 jobs" in lines
    client.delete("ballast:breaker")
    client.set("ballast:breaker", "no state")
    assert told(client).splitlines() == lines
    override.set_override(client, "open", "test")
    assert "Breaker: held open by an operator" in told(client)


def test_one_job_and_one_process_are_told_of_in_the_singular() -> None:
    found = StatusReport(
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
    said = report.text(found, Settings())
    assert "Waiting: 1 job, the oldest for 2 s" in said
    assert "Workers: 1 process, 0 of 8 connections open" in said


def test_times_are_by_the_clocks_of_the_operator_unless_the_admin_chose_others(client: redis.Redis) -> None:
    found = replace(
        report.read(client, budget=None),
        breaker=FleetView(BreakerState.OPEN, BreakerReason.OUTAGE, 0.5, None, 0.0, ()),
        probes=[{"probed_at": 60.0, "ok": ok, "latency_ms": 1.0} for ok in (True, False, True)],
    )
    said = report.text(found, Settings(timezone="Asia/Tokyo"))
    assert "since 1970-01-01 09:00 Asia/Tokyo" in said
    assert "Chart: probe latency in ms. Probes: 3, failed: 1." in said
    with speaking("de", "Europe/Berlin"):
        assert "seit 01.01.1970 01:00 Europe/Berlin" in report.text(found, Settings(timezone="Asia/Tokyo"))
