"""The JSON that the status page is drawn from, in words of the language that is spoken. Pure; docs/endpoints.md lists
every field.

Times are seconds since 1970 by this frontend's clock: what Redis keeps by its own is moved by what the two differ.
"""

from __future__ import annotations

from typing import Any

import ballast
from ballast.queueing import worker_drains
from ballast.status.health import BREAKER_WORDS, HealthInputs, summarize
from ballast.texts import gettext
from bot_frontend.web import outage_report, reports
from bot_frontend.web.snapshot import StatusSnapshot
from dbcore.breaker.rules import BreakerLimits, BreakerState
from dbcore.quota import QuotaState
from dbcore.text import isolated, one_line

WORKERS_SHOWN_MAX = 200
ACTIONS_SHOWN_MAX = 20
OUTAGES_SHOWN_MAX = 20

SLOW_MS = 1000 * BreakerLimits().slow_call_seconds
"""From here on an answer counts as slow."""


def status(look: StatusSnapshot, now: float) -> dict[str, Any]:
    """All but `actions`, whether the asker may act: that access.py says."""
    verdict = summarize(health_inputs(look, now))
    forecast = look.quota
    return {
        "version": ballast.__version__,
        "now": now,
        "age_seconds": look.age_seconds(now),
        "verdict": {"state": verdict.state, "title": verdict.title, "words": verdict.words},
        "redis": reports.redis(look, now),
        "telegram": reports.telegram(look),
        "database": _database(look, now),
        "breaker": _breaker(look, now),
        "queues": [
            {
                "name": name,
                "length": length,
                "attended": name in look.attended_queues,
                **_paused(look, name, now),
            }
            for name, length in look.queues.items()
        ],
        "inbox": {
            "size": look.inbox_size,
            "held_back": look.inbox_held_back,
            "oldest_seconds": look.inbox_oldest_seconds,
            **reports.overdue(look),
        },
        "throughput": _throughput(look),
        "dead_letters": _dead_letters(look, now),
        "approvals": {"waiting": (look.board or {}).get("approvals", {}).get("waiting")},
        "workers": _workers(look, now),
        "fleet": _fleet(look, now),
        "connections": {
            "open": look.connections.open if look.connections else None,
            "possible": look.connections.possible if look.connections else None,
            "budget": look.connection_budget,
        },
        "quota": {
            "state": forecast.state if forecast else QuotaState.UNKNOWN,
            "used_hours": forecast.used_hours if forecast else None,
            "compute_hours": forecast.compute_hours if forecast else None,
            "used_up_at": forecast.used_up_at if forecast else None,
            "renews_at": forecast.renews_at if forecast else None,
        },
        "backup": reports.backup(look, now),
        "move": reports.move(look),
        "stars": reports.stars(look, now),
        "providers": reports.providers(look, now),
        "payouts": reports.payouts(look, now),
        "books": reports.books(look, now),
        "broadcasts": {
            "age_seconds": _board_age(look, now),
            "mark": (look.board or {}).get("broadcasts_mark"),
            "stuck": look.broadcasts_stuck or [],
            "items": look.board["broadcasts"] if look.board else [],
        },
        "transitions": [
            {
                "at": look.by_our_clock(event.at),
                "before": event.before,
                "after": event.after,
                "reason": event.reason,
                "by": event.by and isolated(one_line(event.by)),
            }
            for event in look.recent_transitions
        ],
        "outages": [
            outage_report.described(look, each, now) for each in look.history.outages[:OUTAGES_SHOWN_MAX]
        ],
        "uptime": outage_report.uptime(look),
        "alarms": [
            {"name": name, "since": look.by_our_clock(since)}
            for name, since in sorted(look.alarms.items(), key=lambda alarm: alarm[1])
        ],
        "recent_actions": _recent_actions(look),
    }


def probes(look: StatusSnapshot) -> dict[str, Any]:
    """The last hours', oldest first: time, whether it went well, how it was asked, latency and kind where known."""
    return {
        "probes": [
            [
                look.by_our_clock(each["probed_at"]),
                bool(each.get("ok")),
                each.get("by"),
                each.get("latency_ms"),
                each.get("kind"),
            ]
            for each in look.probes
            if each.get("probed_at")
        ]
    }


def health_inputs(look: StatusSnapshot, now: float) -> HealthInputs:
    """What the verdict goes by."""
    return HealthInputs(
        takes_jobs=look.redis_answers(now),
        redis_trouble=look.redis.worst,
        seen=look.seen_at is not None and look.redis_error is None,
        database=look.database,
        breaker=look.fleet,
        probe_kind=(look.probe or {}).get("kind"),
        intake_error=look.telegram.error if look.telegram and look.telegram.ok is False else None,
        processes=len(look.processes),
        unattended=look.unattended_queues,
        waiting=look.inbox_size or 0,
        held_back=look.inbox_held_back or 0,
        oldest_seconds=look.inbox_oldest_seconds or 0.0,
        overdue=look.inbox_overdue,
        lost_to_one_job=look.lost_to_one_job,
        paused_seconds=_since(look, now, look.fleet.since) if look.fleet and look.fleet.paused else None,
        paused_queues=[*look.paused_queues],
        failed_jobs=_dead_letters(look, now)["open"] or 0,
        alarms=len(look.alarms),
        answers_seconds=(look.throughput.answer_p95_seconds if look.throughput else None) or 0.0,
    )


def _database(look: StatusSnapshot, now: float) -> dict[str, Any]:
    probe, server = look.probe or {}, look.server or {}
    return {
        "state": look.database,
        "version": server.get("server_version"),
        "bytes": server.get("database_bytes"),
        "latency_ms": probe.get("latency_ms"),
        "slow_ms": SLOW_MS,
        "probe_ok": probe.get("ok"),
        "probe_kind": probe.get("kind"),
        "probe_age_seconds": _since(look, now, probe.get("probed_at")),
        "server_connections": server.get("connections"),
        "server_connections_max": server.get("max_connections"),
    }


def _breaker(look: StatusSnapshot, now: float) -> dict[str, Any]:
    breaker = look.breaker
    if breaker is None:
        return {
            "state": "unknown",
            "reason": None,
            "since": None,
            "for_seconds": None,
            "next_probe_seconds": None,
            "paused_by": None,
            "words": gettext("unknown: no worker has followed one yet"),
            "processes_open": 0,
        }
    since = breaker.since or None
    return {
        "state": breaker.state,
        "reason": breaker.reason,
        "since": None if since is None else look.by_our_clock(since),
        "for_seconds": _since(look, now, since),
        "next_probe_seconds": None
        if breaker.until is None
        else round(max(0.0, breaker.until - look.by_redis_clock(now)), 3),
        "paused_by": breaker.paused_by,
        "words": gettext(BREAKER_WORDS[breaker.state]),
        # Beside the fleet's word: a process in trouble of its own stays out while the others go on.
        "processes_open": sum(
            engine.get("state") not in {BreakerState.CLOSED, BreakerState.DISABLED}
            for engine in look.engines.values()
        ),
    }


def _throughput(look: StatusSnapshot) -> dict[str, Any]:
    seen = look.throughput
    return {
        "commands_per_minute": seen.commands_per_minute if seen else None,
        "answers_per_minute": seen.answers_per_minute if seen else None,
        "answer_p50_seconds": seen.answer_p50_seconds if seen else None,
        "answer_p95_seconds": seen.answer_p95_seconds if seen else None,
    }


def _paused(look: StatusSnapshot, queue: str, now: float) -> dict[str, Any]:
    """By an operator; the breaker holds back all queues that need the database, and says so itself."""
    pause = look.paused_queues.get(queue)
    return {
        "paused_by": None if pause is None else isolated(one_line(pause.by)),
        "paused_seconds": None if pause is None else _since(look, now, pause.at),
    }


def _dead_letters(look: StatusSnapshot, now: float) -> dict[str, Any]:
    """From the board, or their number from the last probe where that is all there is."""
    if look.board is not None:
        letters = look.board["dead_letters"]
        return {"open": letters["open"], "age_seconds": _board_age(look, now), "items": letters["items"]}
    server = look.server or {}
    counted = server.get("open_dead_letters")
    return {
        "open": counted,
        "age_seconds": None if counted is None else _since(look, now, server.get("probed_at")),
        "items": [],
    }


def _workers(look: StatusSnapshot, now: float) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = [
        {
            "name": report.get("name") or owner,
            "host": report.get("host"),
            "pid": report.get("pid"),
            "queues": report.get("queues", []),
            "beat_age_seconds": _since(look, now, report["beat_at"]),
            "breaker": (report.get("database") or {}).get("state", "unknown"),
            "doing": report.get("doing", []),
        }
        for owner, report in look.processes.items()
    ]
    shown.sort(key=lambda each: (str(each["name"]), str(each["host"]), str(each["pid"])))
    return shown[:WORKERS_SHOWN_MAX]


def _fleet(look: StatusSnapshot, now: float) -> list[dict[str, Any]]:
    """The workers that these processes belong to."""
    found = worker_drains.workers(look.processes, look.drains, look.by_redis_clock(now))
    return [
        {
            "name": each.name,
            "state": each.state,
            "processes": len(each.processes),
            "jobs": len(each.jobs),
            "alone": list(each.alone),
            "drained_by": each.drained_by and isolated(one_line(each.drained_by)),
            "drained_seconds": each.drained_seconds,
        }
        for each in found[:WORKERS_SHOWN_MAX]
    ]


def _recent_actions(look: StatusSnapshot) -> list[dict[str, Any]]:
    """What the books have, and what waits to be written there."""
    booked = look.board["actions"] if look.board else []
    found = {each["action_id"]: each for each in (*look.actions, *booked)}
    newest = sorted(found.values(), key=lambda each: -float(each["at"]))[:ACTIONS_SHOWN_MAX]
    return [
        {
            "at": look.by_our_clock(each["at"]),
            "actor": isolated(one_line(each["actor"])),
            "action": each["action"],
            "target": each["target"],
            "outcome": each["outcome"],
        }
        for each in newest
    ]


def _board_age(look: StatusSnapshot, now: float) -> float | None:
    return None if look.board is None else _since(look, now, look.board["at"])


def _since(look: StatusSnapshot, now: float, redis_time: float | None) -> float | None:
    return None if redis_time is None else round(max(0.0, look.by_redis_clock(now) - redis_time), 3)
