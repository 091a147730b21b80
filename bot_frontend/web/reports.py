"""The JSON of /health, /db-status and /db-stability, from what the monitor saw last. Pure; docs/endpoints.md lists
every field.
"""

from __future__ import annotations

from typing import Any

from bot_frontend.web.monitor import Look
from dbcore.quota import QuotaState

_LETS_THROUGH = frozenset({"closed", "disabled"})


def health(look: Look, now: float) -> dict[str, Any]:
    """Basic connectivity. `status`: ok, degraded (jobs are taken, but somebody waits), down (no job can be taken)."""
    database = _database_word(look)
    alive = len(look.processes) if look.redis_ok else None
    attended = {queue for report in look.processes.values() for queue in report.get("queues", ())}
    unattended = sorted(queue for queue, length in look.queues.items() if length and queue not in attended)
    if not look.redis_ok:
        status = "down"
    elif database == "unavailable" or not alive or unattended:
        status = "degraded"
    else:
        status = "ok"
    return {
        "status": status,
        "redis": {"ok": look.redis_ok, "error": look.redis_error},
        "database": {"state": database, "breaker": look.fleet.state.value if look.fleet else "unknown"},
        "workers": {"alive": alive},
        "inbox": {"size": look.inbox_size, "oldest_seconds": look.inbox_oldest_seconds},
        "queues": look.queues,
        "unattended_queues": unattended,
        "age_seconds": _age(look, now),
    }


def database_status(look: Look, now: float) -> dict[str, Any]:
    """PostgreSQL as the last probe found it. `state` is `unknown` where no probe has been yet."""
    probe = dict(look.probe or {})
    probed_at = probe.pop("probed_at", None)
    return {
        "state": _database_word(look),
        "probe": probe or None,
        "probe_age_seconds": None if probed_at is None else round(now - probed_at, 3),
        "age_seconds": _age(look, now),
    }


def stability(look: Look, now: float) -> dict[str, Any]:
    """The stability system: the fleet's breaker, its connections, and what each process's engine says."""
    engines = {name: report["database"] for name, report in look.processes.items()}
    breaker = look.fleet if engines or (look.fleet and look.fleet.since) else None
    return {
        "monitoring": "active" if engines else "unknown",
        "breaker": {
            "state": breaker.state.value if breaker else "unknown",
            "reason": breaker.reason.value if breaker and breaker.reason else None,
            "since": (breaker.since or None) if breaker else None,
            "until": breaker.until if breaker else None,
            "retry_after_seconds": round(breaker.retry_after_seconds, 3) if breaker else None,
            "probed_by": list(breaker.probers) if breaker else [],
            # Beside the fleet's word: a process in trouble of its own stays out while the others go on.
            "processes_open": sum(engine["state"] not in _LETS_THROUGH for engine in engines.values()),
            "processes": len(engines),
            "transitions": look.transitions,
        },
        "connections": {
            "possible": look.connections.possible if look.connections else None,
            "open": look.connections.open if look.connections else None,
        },
        "quota": _quota(look),
        # Failures since the last success, of the process that has most: an outage seen by many is still one.
        "failed_operations": max((engine["failed_operations"] for engine in engines.values()), default=None),
        "total_failed_operations": sum(engine["failed_operations_total"] for engine in engines.values()),
        "total_operations": sum(engine["calls_total"] for engine in engines.values()),
        "engines": engines,
        "age_seconds": _age(look, now),
    }


def _quota(look: Look) -> dict[str, Any]:
    quota = look.quota
    return {
        "state": quota.state.value if quota else QuotaState.UNKNOWN.value,
        "compute_hours": quota.compute_hours if quota else None,
        "used_hours": quota.used_hours if quota else None,
        "observed_since": quota.observed_since if quota else None,
        "used_up_at": quota.used_up_at if quota else None,
        "renews_at": quota.renews_at if quota else None,
    }


def _database_word(look: Look) -> str:
    """ok, unavailable, unknown before the first probe, or reachable where a sleeping database was not woken to ask."""
    if look.database_is_away:
        return "unavailable"
    if look.probe is None:
        return "unknown"
    return "reachable" if look.probe.get("by") == "tcp" else "ok"


def _age(look: Look, now: float) -> float | None:
    """Seconds since what is said here was seen; None where nothing was ever seen."""
    return None if look.seen_at is None else round(max(0.0, now - look.seen_at), 3)
