"""The JSON of /health, /db-status and /db-stability, from what the monitor saw last. Pure; docs/endpoints.md lists
every field.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ballast.operators.books_rows import day_rows, sheet_rows
from ballast.status.health import failures_in_a_row
from ballast.texts import gettext
from bot_frontend.web.snapshot import NOT_LOOKED_YET, StatusSnapshot
from dbcore.money import plain_amount
from dbcore.quota import QuotaState
from dbcore.redis_condition import RedisTrouble
from dbcore.text import isolated, one_line

DIFFERENCES_SHOWN = 20

_LETS_THROUGH = frozenset({"closed", "disabled"})


def health(look: StatusSnapshot, now: float) -> dict[str, Any]:
    """Basic connectivity. `status`: ok, degraded (jobs are taken, but somebody waits), down (no job can be taken)."""
    takes_jobs = look.takes_jobs(now)
    alive = len(look.processes) if look.redis_answers(now) and not _beats_are_refused(look) else None
    deaf = look.telegram is not None and look.telegram.ok is False
    if not takes_jobs:
        status = "down"
    elif (
        look.database_is_away
        or not alive
        or look.unattended_queues
        or look.inbox_overdue
        or look.lost_to_one_job
        or deaf
        or look.redis_error
        or look.redis.troubles
    ):
        status = "degraded"
    else:
        status = "ok"
    return {
        "status": status,
        "redis": redis(look, now),
        "telegram": telegram(look),
        "database": {"state": look.database, "breaker": look.breaker.state if look.breaker else "unknown"},
        "workers": {"alive": alive, "lost_to_one_job": look.lost_to_one_job},
        "inbox": {
            "size": look.inbox_size,
            "oldest_seconds": look.inbox_oldest_seconds,
            **overdue(look),
        },
        "queues": look.queues,
        "unattended_queues": look.unattended_queues,
        "backup": backup(look, now),
        "age_seconds": look.age_seconds(now),
    }


def backup(look: StatusSnapshot, now: float) -> dict[str, Any]:
    """How old the last proven one is, whether one is missing, and whether the last run made none."""
    proven, at = look.backup.proven, look.by_redis_clock(now)
    return {
        "proven_age_seconds": None if proven is None else round(max(0.0, at - proven.taken_at), 3),
        "overdue": look.backup.is_overdue(at),
        "failed": look.backup.failed is not None,
    }


def move(look: StatusSnapshot) -> dict[str, Any] | None:
    """Of the database to another server: how far it is, and how many processes go by an older address."""
    if look.move is None:
        return None
    return {"state": look.move.move.state, "processes_with_old_url": look.move.with_old_url}


def stars(look: StatusSnapshot, now: float) -> dict[str, Any]:
    """How Telegram's book of Stars differs from the ledger, by the last comparison; None if none is known."""
    found = look.reconciliation.finished
    shown = () if found is None else found.differences[:DIFFERENCES_SHOWN]
    return {
        "compared_age_seconds": None
        if found is None
        else round(max(0.0, look.by_redis_clock(now) - found.at), 3),
        "is_reading": look.reconciliation.begun_at is not None,
        "transactions": None if found is None else found.transactions,
        "balance": None if found is None else found.stars,
        "open": None if found is None else found.open,
        "differences": [
            {
                "difference": each["difference"],
                "charge_id": isolated(one_line(each["charge_id"])),
                "telegram_stars": each["telegram_stars"],
                "ledger_stars": each["ledger_stars"],
                "accepted": each["accepted_by"] is not None,
                "is_booked_by_charge_id": each["is_booked_by_charge_id"],
            }
            for each in shown
        ],
    }


def providers(look: StatusSnapshot, now: float) -> list[dict[str, Any]]:
    """How what each provider lists of payments differs from the ledger, and what it told that cannot be booked."""
    return [
        {
            "provider": each.provider,
            "compared_age_seconds": None
            if each.at is None
            else round(max(0.0, look.by_redis_clock(now) - each.at), 3),
            "payments": each.payments,
            "open": each.open,
            "differences": [
                {
                    "difference": shown["difference"],
                    "payment_id": isolated(one_line(shown["payment_id"])),
                    "currency": shown["currency"],
                    "provider_minor_units": shown["provider_minor_units"],
                    "ledger_minor_units": shown["ledger_minor_units"],
                    "accepted": shown["accepted_by"] is not None,
                    "is_booked": shown["is_booked"],
                }
                for shown in each.differences[:DIFFERENCES_SHOWN]
            ],
        }
        for each in look.providers
    ]


def star_differences(look: StatusSnapshot) -> Sequence[Mapping[str, Any]]:
    """As the last whole reading left them."""
    found = look.reconciliation.finished
    return () if found is None else found.differences


def provider_differences(look: StatusSnapshot) -> Sequence[Mapping[str, Any]]:
    """Of all providers."""
    return [row for each in look.providers for row in each.differences]


def payouts(look: StatusSnapshot, now: float) -> dict[str, Any]:
    """Withdrawals that are open, and those of them that do not get on, as the payouts' sweep found them last."""
    found = look.payouts
    age = None if found is None else max(0.0, look.by_redis_clock(now) - found.at)
    return {
        "age_seconds": None if age is None else round(age, 3),
        "is_stopped": None if found is None else found.open.is_stopped,
        "open": {} if found is None else found.open.counted,
        "stuck": [
            {
                "number": each.number,
                "state": each.state,
                "amount": plain_amount(each.amount, look.decimals_of(each.currency)),
                "currency": each.currency,
                "adapter": each.adapter,
                "attempts": each.attempts,
                "for_seconds": round(each.seconds + (age or 0.0), 3),
            }
            for each in (() if found is None else found.open.stuck)
        ],
    }


def books(look: StatusSnapshot, now: float) -> dict[str, Any]:
    """The balance sheet and the seals of the ledger, as a worker read them after the last probe."""
    found = look.books
    return {
        "age_seconds": None if found is None else round(max(0.0, look.by_redis_clock(now) - found.at), 3),
        "sheet": [] if found is None else balance_sheet(look),
        "days": [] if found is None else users_days(look),
        "seal": None if found is None else found.newest,
        "seal_hash": None if found is None else found.hash,
        "unsealed_entries": None if found is None else found.unsealed,
        "broken_seals": None if found is None else found.broken,
    }


def balance_sheet(look: StatusSnapshot) -> list[dict[str, Any]]:
    return sheet_rows(() if look.books is None else look.books.sheet, look.decimals_of)


def daily_totals(look: StatusSnapshot) -> list[dict[str, Any]]:
    """Today's first."""
    return day_rows(() if look.books is None else look.books.days, look.decimals_of)


def users_days(look: StatusSnapshot) -> list[dict[str, Any]]:
    """What all users were credited and debited together on each UTC day, today's first."""
    totals: dict[tuple[str, str], Counter[str]] = {}
    for each in () if look.books is None else look.books.days:
        if each.account == "users":
            day = totals.setdefault((each.day.isoformat(), each.currency), Counter())
            day.update(debits=each.debits, credits=each.credits, entries=each.entries)
    return [
        {
            "day": day,
            "currency": currency,
            "debits": plain_amount(total["debits"], look.decimals_of(currency)),
            "credits": plain_amount(total["credits"], look.decimals_of(currency)),
            "entries": total["entries"],
        }
        for (day, currency), total in totals.items()
    ]


def overdue(look: StatusSnapshot) -> dict[str, Any]:
    """For how long the job has waited that waits longest for a worker, and in which queue."""
    job = look.inbox_overdue
    return {"overdue_seconds": job and job.seconds, "overdue_queue": job and job.queue}


def database_status(look: StatusSnapshot, now: float) -> dict[str, Any]:
    """PostgreSQL as the last probe found it. `state` is `unknown` where no probe has been yet."""
    probe = dict(look.probe or {})
    probed_at = probe.pop("probed_at", None)
    return {
        "state": look.database,
        "probe": probe or None,
        "probe_age_seconds": None
        if probed_at is None
        else round(max(0.0, look.by_redis_clock(now) - probed_at), 3),
        "move": move(look),
        "age_seconds": look.age_seconds(now),
    }


def stability(look: StatusSnapshot, now: float) -> dict[str, Any]:
    """The stability system: the fleet's breaker, its connections, and what each process's engine says."""
    engines, breaker = look.engines, look.breaker
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
            "processes_open": sum(engine.get("state") not in _LETS_THROUGH for engine in engines.values()),
            "processes": len(engines),
            "transitions": look.transitions,
        },
        "connections": {
            "possible": look.connections.possible if look.connections else None,
            "open": look.connections.open if look.connections else None,
        },
        "quota": _quota(look),
        "failed_operations": failures_in_a_row(look.processes.values()),
        "total_failed_operations": look.totals.get("database|failed", 0),
        "total_operations": look.totals.get("database|calls", 0),
        "engines": engines,
        "age_seconds": look.age_seconds(now),
    }


def _quota(look: StatusSnapshot) -> dict[str, Any]:
    quota = look.quota
    return {
        "state": quota.state.value if quota else QuotaState.UNKNOWN.value,
        "compute_hours": quota.compute_hours if quota else None,
        "used_hours": quota.used_hours if quota else None,
        "observed_since": quota.observed_since if quota else None,
        "used_up_at": quota.used_up_at if quota else None,
        "renews_at": quota.renews_at if quota else None,
    }


def telegram(look: StatusSnapshot) -> dict[str, Any]:
    heard = look.telegram
    ago = None if heard is None or heard.heard_ago_seconds is None else round(heard.heard_ago_seconds, 3)
    return {
        "mode": heard.mode if heard else None,
        "ok": heard.ok if heard else None,
        "error": heard.error if heard else None,
        "age_seconds": ago,
        "pending": heard.pending if heard else None,
    }


def redis(look: StatusSnapshot, now: float) -> dict[str, Any]:
    return {
        "ok": look.takes_jobs(now),
        "error": redis_error(look, now),
        "troubles": [str(trouble) for trouble in look.redis.troubles],
    }


def redis_error(look: StatusSnapshot, now: float) -> str | None:
    if look.redis_ok and not look.redis_answers(now):
        return gettext("the last look does not end")
    if look.redis_error == NOT_LOOKED_YET:
        return gettext(NOT_LOOKED_YET)
    if look.redis_error is None and look.redis.stops_intake is not None:
        return gettext(look.redis.stops_intake.words)
    return look.redis_error


def why_not_ready(look: StatusSnapshot, now: float) -> str | None:
    """A sentence that names Redis; None if jobs can be taken."""
    if look.takes_jobs(now):
        return None
    error = redis_error(look, now)
    if look.seen_at is None and look.redis_error == NOT_LOOKED_YET:
        return gettext("Redis was not looked at yet")
    return error if look.redis_answers(now) else gettext("Redis does not answer ({error})", error=error)


def _beats_are_refused(look: StatusSnapshot) -> bool:
    """Workers may well be there, and cannot say so."""
    return look.redis.stops_intake in {
        RedisTrouble.READ_ONLY,
        RedisTrouble.TOO_FEW_REPLICAS,
        RedisTrouble.DISK,
    }
