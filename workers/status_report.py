"""What /dbstatus tells an admin: how the database, the queue and the workers are, from what Redis holds. It asks the
database nothing, so it answers while that is away, and wakes none that sleeps.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

import redis

from ballast.broadcasts.schedule import Schedule
from ballast.inbox import Inbox
from ballast.status import probe_results
from ballast.status.health import BREAKER_WORDS, database_sentence, database_state, last_answered_at
from ballast.texts import gettext, ngettext
from ballast.texts.formats import day_and_time, decimals, duration, zone
from dbcore.breaker import FleetView, StateUnreadable, outages, read_breaker
from dbcore.breaker.connection_budget import FleetConnections, read_connections
from dbcore.breaker.outages import Outage
from dbcore.breaker.rules import BreakerState
from dbcore.breaker.store import read_state
from dbcore.redis_client import redis_time
from dbcore.settings import Settings
from workers import latency_chart
from workers.latency_chart import Probed


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Times are seconds since 1970, by Redis's clock.

    breaker -- None where what Redis holds of it cannot be read.
    probes -- in short, oldest first; probe -- the last in full. answered_at -- when anybody last had an answer.
    """

    now: float
    breaker: FleetView | None
    probe: dict[str, Any] | None
    answered_at: float | None
    probes: list[dict[str, Any]]
    waiting: int
    oldest_seconds: float | None
    processes: int
    connections: FleetConnections
    budget: int | None
    broadcasts: int
    stuck: list[int]
    outages: Sequence[Outage] = ()


def read(client: redis.Redis, *, budget: int | None) -> StatusReport:
    """Raises redis.RedisError."""
    inbox, schedule = Inbox(client), Schedule(client)
    processes = inbox.processes()
    return StatusReport(
        now=redis_time(client),
        breaker=_view(client),
        probe=probe_results.last(client),
        answered_at=last_answered_at(processes.values()),
        probes=probe_results.recent(client),
        waiting=inbox.size(),
        oldest_seconds=inbox.oldest_age_seconds(),
        processes=len(processes),
        connections=read_connections(client),
        budget=budget,
        broadcasts=schedule.size(),
        stuck=schedule.stuck(),
        outages=_outages(client),
    )


def _outages(client: redis.Redis) -> Sequence[Outage]:
    try:
        return outages.read(client, *read_state(client))
    except StateUnreadable:
        return ()


def _view(client: redis.Redis) -> FleetView | None:
    try:
        return read_breaker(client)
    except StateUnreadable:
        return None


def text(report: StatusReport, settings: Settings) -> str:
    """Telegram's HTML, short enough to stand under a picture."""
    return "\n".join(
        (
            f"<b>{_verdict(report)}</b>",
            gettext("Breaker: {state}", state=_breaker(report, settings)),
            gettext("Last probe: {probe}", probe=_probe(report)),
            _waiting(report),
            gettext(
                "Workers: {processes}, {connections}",
                processes=ngettext("{count} process", "{count} processes", report.processes),
                connections=_connections(report),
            ),
            _broadcasts(report),
            *_below_the_picture(report),
        )
    )


def picture(report: StatusReport, settings: Settings) -> str:
    """The latencies of the last hours: a PNG in base64."""
    held_back = [(outage.began_at, outage.ended_at or report.now) for outage in report.outages]
    png = latency_chart.draw(_drawn(report), zone(settings.timezone), held_back)
    return base64.b64encode(png).decode()


def _drawn(report: StatusReport) -> list[Probed]:
    probes = [
        Probed(each["probed_at"], each["ok"], each["latency_ms"])
        for each in report.probes
        if each["probed_at"]
    ]
    return probes[-latency_chart.POINTS_MAX :]


def _below_the_picture(report: StatusReport) -> list[str]:
    """What it shows: its font has Latin letters only, so there are no words in it."""
    drawn = _drawn(report)
    if not drawn:
        return []
    failed = sum(not each.ok for each in drawn)
    return [
        gettext(
            "Chart: probe latency in ms. Probes: {probes}, failed: {failed}.",
            probes=len(drawn),
            failed=failed,
        )
    ]


def _verdict(report: StatusReport) -> str:
    state = database_state(report.breaker, report.probe, report.answered_at)
    return escape(database_sentence(state, report.breaker), quote=False)


def _breaker(report: StatusReport, settings: Settings) -> str:
    view = report.breaker
    if view is None:
        return gettext(
            "unknown, because what Redis holds of it cannot be read: see {command}",
            command="<code>python -m dbcore breaker</code>",
        )
    parts = [gettext(BREAKER_WORDS[view.state])]
    if view.paused_by is not None:
        parts.append(gettext("by {name}", name=escape(view.paused_by)))
    if view.reason is not None:
        parts.append(gettext("reason {reason}", reason=view.reason))
    if view.since:
        since = duration(max(0.0, report.now - view.since))
        parts.append(gettext("since {time}, {duration}", time=_time(view.since, settings), duration=since))
    if view.state is BreakerState.OPEN:
        parts.append(gettext("next probe in {duration}", duration=duration(view.retry_after_seconds)))
    return "; ".join(parts)


def _probe(report: StatusReport) -> str:
    probe = report.probe
    if probe is None:
        return gettext("none yet")
    took = duration(max(0.0, report.now - probe["probed_at"]))
    if not probe["ok"]:
        why = escape(str(probe.get("kind") or gettext("tables are missing")))
        return gettext("failed {duration} ago ({why})", duration=took, why=why)
    parts = [gettext("{duration} ago", duration=took)]
    if probe.get("latency_ms") is not None:
        parts.append(gettext("{latency} ms", latency=f"{probe['latency_ms']:g}"))
    if probe.get("server_version"):
        parts.append(f"PostgreSQL {escape(probe['server_version'])}")
        parts.append(
            gettext("{open} of {most} connections", open=probe["connections"], most=probe["max_connections"])
        )
        parts.append(gettext("{size} MB", size=decimals(probe["database_bytes"] / 1e6, 0)))
    return ", ".join(parts)


def _waiting(report: StatusReport) -> str:
    jobs = ngettext("{count} job", "{count} jobs", report.waiting)
    if report.oldest_seconds is None:
        return gettext("Waiting: {jobs}", jobs=jobs)
    return gettext(
        "Waiting: {jobs}, the oldest for {duration}", jobs=jobs, duration=duration(report.oldest_seconds)
    )


def _connections(report: StatusReport) -> str:
    open_ones = gettext(
        "{open} of {possible} connections open",
        open=report.connections.open,
        possible=report.connections.possible,
    )
    if report.budget is None:
        return open_ones
    return gettext("{connections}, budget {budget}", connections=open_ones, budget=report.budget)


def _broadcasts(report: StatusReport) -> str:
    line = gettext("Broadcasts: {count} under way or scheduled", count=report.broadcasts)
    if not report.stuck:
        return line
    return gettext("{line}; stuck: {ids}", line=line, ids=", ".join(map(str, report.stuck[:5])))


def _time(seconds: float, settings: Settings) -> str:
    clocks = zone(settings.timezone)
    return f"{day_and_time(datetime.fromtimestamp(seconds, clocks))} {clocks.key}"
