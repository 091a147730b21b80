"""Every figure of `/metrics`: its name, its labels, what it means, and where in a look it is. docs/metrics.md has the
same table, and a test compares the two. Names are OpenTelemetry's where it has one, dots as underscores.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import ballast
from ballast.queueing.kinds import JOB_TYPES
from ballast.queueing.queues import QUEUES
from ballast.status.counters import ANSWER_MS
from ballast.status.health import DatabaseState, failures_in_a_row
from bot_frontend.web.metric import Histogram, Kind, Metric, Values, gauge, gauges, state_set, total, totals
from bot_frontend.web.snapshot import StatusSnapshot
from dbcore import retention
from dbcore.breaker.rules import BreakerReason, BreakerState
from dbcore.failures import FailureKind
from dbcore.quota import QuotaState
from dbcore.redis_condition import RedisTrouble

METHODS = (
    "answerCallbackQuery",
    "copyMessage",
    "copyMessages",
    "deleteMessage",
    "deleteMessages",
    "editMessageReplyMarkup",
    "editMessageText",
    "sendMessage",
    "sendPhoto",
)
STATUSES = ("200", "400", "401", "403", "404", "409", "429", "500", "502", "503", "504")
OUTCOMES = (*STATUSES, "never_sent", "timeout", "broken")
RECIPIENTS = ("sent", "blocked", "failed", "unknown")
REFUSALS = ("full", "crowded")


def _engines(look: StatusSnapshot) -> Iterator[dict[str, Any]]:
    return iter(look.engines.values())


def _processes_open(look: StatusSnapshot) -> float:
    return float(sum(engine.get("state") not in {"closed", "disabled"} for engine in _engines(look)))


def _sum(look: StatusSnapshot, field: str) -> float:
    return float(sum(engine.get(field, 0) for engine in _engines(look)))


def _probed(look: StatusSnapshot, field: str, factor: float = 1.0) -> float | None:
    value = (look.probe or {}).get(field)
    return None if value is None else value * factor


def _today(look: StatusSnapshot, side: Literal["credits", "debits"]) -> Values:
    if look.books is None:
        return []
    today = datetime.fromtimestamp(look.books.at, UTC).date()
    return [
        (
            (each.currency, each.account, each.kind),
            getattr(each, side) / 10 ** look.decimals_of(each.currency),
        )
        for each in look.books.days
        if each.day == today
    ]


def _breaker_state(look: StatusSnapshot) -> str | None:
    return look.breaker.state.value if look.breaker else None


def _breaker_reason(look: StatusSnapshot) -> str | None:
    return (look.breaker.reason.value if look.breaker.reason else "none") if look.breaker else None


def _transitions(look: StatusSnapshot, _: float) -> Values:
    for name, count in look.transitions.items():
        before, _sign, after = name.partition(">")
        if after:
            yield (before, after), float(count)


def _unattended(look: StatusSnapshot) -> dict[str, float]:
    return {queue: float(queue in look.unattended_queues) for queue in look.queues}


def _answers(look: StatusSnapshot) -> Iterator[tuple[tuple[str, ...], Histogram]]:
    for queue in QUEUES:
        counts = tuple(look.totals.get(f"answers|{queue}|{bound}", 0) for bound in (*ANSWER_MS, "inf"))
        if any(counts):
            yield (queue,), Histogram(counts, look.totals.get(f"answers_ms|{queue}", 0) / 1000)


_QUEUE = "messaging_destination_name"

METRICS: tuple[Metric, ...] = (
    gauges(
        "ballast_build_info",
        "version",
        "1 for the version of the frontend that answers.",
        lambda look: {ballast.__version__: 1.0},
    ),
    # How old all this is, and what it rests on
    gauge(
        "ballast_look_age_seconds",
        "Since Redis was last asked for all of this.",
        lambda look, now: look.age_seconds(now),
    ),
    gauge(
        "ballast_redis_up",
        "Whether Redis answered the last look, a moment ago, and commands can be recorded there.",
        lambda look, now: float(look.takes_jobs(now)),
    ),
    gauges(
        "ballast_redis_trouble",
        "trouble",
        "1 for what is wrong with Redis though it answers.",
        lambda look: (
            {trouble.value: float(trouble in look.redis.troubles) for trouble in RedisTrouble}
            if look.seen_at
            else {}
        ),
    ),
    gauge(
        "ballast_redis_evicted_keys",
        "Keys that Redis deleted to free memory, since it started.",
        lambda look, _: float(look.redis.evicted_keys) if look.seen_at else None,
    ),
    gauge(
        "ballast_redis_memory_used_bytes",
        "Memory that Redis uses.",
        lambda look, _: float(look.redis.memory_used_bytes) if look.seen_at else None,
    ),
    gauge(
        "ballast_redis_memory_max_bytes",
        "Memory that Redis may use; 0 for no limit.",
        lambda look, _: float(look.redis.memory_max_bytes) if look.seen_at else None,
    ),
    gauge(
        "ballast_database_away",
        "Whether the database counts as unavailable: by the breaker, or by the last probe. Absent while that is "
        "unknown.",
        lambda look, _: (
            float(look.database_is_away)
            if look.seen_at and look.database is not DatabaseState.UNKNOWN
            else None
        ),
    ),
    gauge(
        "ballast_worker_processes",
        "Worker processes that beat.",
        lambda look, _: float(len(look.processes)) if look.redis_ok else None,
    ),
    # The breaker
    state_set(
        "ballast_breaker_state",
        "state",
        tuple(BreakerState),
        "The fleet's breaker: 1 for its state.",
        _breaker_state,
    ),
    state_set(
        "ballast_breaker_reason",
        "reason",
        (*BreakerReason, "none"),
        "Why the fleet's breaker is not closed: 1 for the reason.",
        _breaker_reason,
    ),
    gauge(
        "ballast_breaker_since_timestamp_seconds",
        "When it became so, by Redis's clock.",
        lambda look, _: (look.fleet.since or None) if look.fleet else None,
    ),
    Metric(
        "ballast_breaker_transitions_total",
        Kind.COUNTER,
        ("before", "after"),
        "Transitions of the fleet's breaker.",
        _transitions,
    ),
    gauge(
        "ballast_breaker_processes_open",
        "Worker processes that let no calls through, by the fleet's word or their own.",
        lambda look, _: _processes_open(look) if look.seen_at else None,
    ),
    # Calls to the database
    total("ballast_database_calls_total", "Calls that ended.", key="database|calls"),
    total(
        "ballast_database_calls_failed_total", "Calls that ended without an answer.", key="database|failed"
    ),
    total(
        "ballast_database_calls_refused_total",
        "Of these, refused by the breaker without trying.",
        key="database|refused",
    ),
    total("ballast_database_retries_total", "Attempts made again.", key="database|retries"),
    total(
        "ballast_database_unknown_outcomes_total",
        "Attempts to write of which nobody knew whether they took effect; most are resolved by the retry.",
        key="database|unknown_outcomes",
    ),
    totals(
        "ballast_database_failures_total",
        "failures",
        {"kind": tuple(FailureKind)},
        "Attempts that failed, by kind.",
    ),
    gauge(
        "ballast_database_failures_in_a_row",
        "Failures since any process last had an answer, of the process that has most.",
        lambda look, _: failures_in_a_row(look.processes.values()),
    ),
    # Connections
    gauges(
        "db_client_connection_count",
        "db_client_connection_state",
        "Connections that all worker processes have open.",
        lambda look: (
            {"used": _sum(look, "pool_in_use"), "idle": _sum(look, "pool_idle")} if look.processes else {}
        ),
    ),
    gauge(
        "db_client_connection_max",
        "Connections that all worker processes together may open.",
        lambda look, _: float(look.connections.possible) if look.connections else None,
    ),
    gauge(
        "ballast_database_connection_budget",
        "DB_CONNECTION_BUDGET, where it is set.",
        lambda look, _: look.connection_budget,
    ),
    # Queues and jobs
    gauges(
        "ballast_queue_length",
        _QUEUE,
        "Messages waiting in Celery's queue.",
        lambda look: {queue: float(length) for queue, length in look.queues.items()},
    ),
    gauges(
        "ballast_queue_unattended",
        _QUEUE,
        "1 where messages wait and no living worker takes from the queue.",
        _unattended,
    ),
    Metric(
        "messaging_client_sent_messages_total",
        Kind.COUNTER,
        (_QUEUE,),
        "Messages handed to Celery's queue; more than jobs, for copies are harmless.",
        lambda look, _: [((q,), float(count)) for q, count in look.published.items() if q in QUEUES],
    ),
    gauge(
        "ballast_inbox_jobs",
        "Jobs on record: taken, and not finished yet.",
        lambda look, _: look.inbox_size,
    ),
    gauge(
        "ballast_inbox_jobs_held_back",
        "Of these, waiting for the database's queues to open.",
        lambda look, _: look.inbox_held_back,
    ),
    gauge(
        "ballast_inbox_oldest_job_age_seconds",
        "Age of the oldest job on record; 0 where there is none.",
        lambda look, _: None if look.inbox_size is None else look.inbox_oldest_seconds or 0.0,
    ),
    gauge(
        "ballast_inbox_overdue_seconds",
        "The longest that a job has waited for a worker to begin it; "
        "0 below 15 s, while the breaker is open, and for a minute after.",
        lambda look, _: (
            None if look.inbox_size is None else look.inbox_overdue.seconds if look.inbox_overdue else 0.0
        ),
    ),
    totals(
        "ballast_jobs_accepted_total", "jobs_accepted", {"kind": JOB_TYPES.keys()}, "Jobs taken on record."
    ),
    totals(
        "ballast_jobs_refused_total",
        "jobs_refused",
        {"reason": REFUSALS},
        "Jobs not taken: a user's lane was full, or the inbox.",
    ),
    totals(
        "ballast_jobs_done_total",
        "jobs_done",
        {"kind": JOB_TYPES.keys()},
        "Jobs finished, their answers out.",
    ),
    Metric(
        "ballast_job_duration_seconds",
        Kind.HISTOGRAM,
        (_QUEUE,),
        "From a job's intake until its answer is out, by the queue of its kind.",
        spreads=_answers,
    ),
    total("ballast_dead_letters_total", "Jobs that failed for good.", key="dead_letters"),
    gauge(
        "ballast_dead_letters_open",
        "Failed jobs that nobody has retried or discarded, as the last probe by statement found.",
        lambda look, _: _probed(look, "open_dead_letters"),
    ),
    gauge(
        "ballast_outbox_jobs",
        "Jobs of committed transactions that wait in the table outbox, as the last probe by statement found.",
        lambda look, _: _probed(look, "outbox_rows"),
    ),
    gauge(
        "ballast_outbox_oldest_job_age_seconds",
        "Age of the oldest of them, as that probe found; 0 where there is none.",
        lambda look, _: (
            None if _probed(look, "outbox_rows") is None else _probed(look, "outbox_oldest_seconds") or 0.0
        ),
    ),
    totals(
        "ballast_rows_pruned_total",
        "pruned",
        {"table": retention.TABLES},
        "Rows removed because they were older than the settings keep them.",
    ),
    gauges(
        "ballast_oldest_row_age_seconds",
        "table",
        "Age of the oldest row of a table that is pruned, as the last probe by statement found: of a delivery since "
        "its broadcast ended, of a failed job since somebody dealt with it. Absent where there is none.",
        lambda look: dict((look.probe or {}).get("oldest_row_seconds") or {}),
    ),
    # Telegram
    gauge(
        "ballast_telegram_intake_up",
        "Whether updates reach this frontend: Telegram answered its last question, or delivered what could be taken.",
        lambda look, _: (
            None if look.telegram is None or look.telegram.ok is None else float(look.telegram.ok)
        ),
    ),
    gauge(
        "ballast_telegram_heard_timestamp_seconds",
        "When Telegram last answered this frontend, or delivered an update to it.",
        lambda look, now: (
            None
            if look.telegram is None or look.telegram.heard_ago_seconds is None
            else now - look.telegram.heard_ago_seconds
        ),
    ),
    gauge(
        "ballast_telegram_pending_updates",
        "Updates that Telegram keeps for the webhook, as it said in the last minute.",
        lambda look, _: None if look.telegram is None else look.telegram.pending,
    ),
    totals(
        "ballast_telegram_requests_total",
        "telegram",
        {"method": METHODS, "outcome": OUTCOMES},
        "Requests of the workers to Telegram: `outcome` is the HTTP status, or `never_sent`, `timeout`, `broken`.",
    ),
    gauge(
        "ballast_broadcasts_under_way",
        "Broadcasts that are sending, or scheduled.",
        lambda look, _: look.broadcasts_under_way,
    ),
    gauge(
        "ballast_broadcasts_stuck",
        "Of these, without a finished chunk through six looks, three minutes.",
        lambda look, _: None if look.broadcasts_stuck is None else float(len(look.broadcasts_stuck)),
    ),
    totals(
        "ballast_broadcast_recipients_total",
        "recipients",
        {"status": RECIPIENTS},
        "Recipients of broadcasts whose state is final.",
    ),
    # The database, as probed
    gauge(
        "ballast_probe_success",
        "Whether the last probe found all well.",
        lambda look, _: float(look.probe["ok"]) if look.probe else None,
    ),
    gauge(
        "ballast_probe_timestamp_seconds",
        "When the last probe was.",
        lambda look, _: _probed(look, "probed_at"),
    ),
    gauge(
        "ballast_probe_latency_seconds",
        "How long the last probe took, any wait for a connection with it.",
        lambda look, _: _probed(look, "latency_ms", 0.001),
    ),
    gauge(
        "ballast_server_connections",
        "Connections the server has, from everybody, as probed.",
        lambda look, _: _probed(look, "connections"),
    ),
    gauge(
        "ballast_server_connections_max",
        "Connections the server allows, as probed.",
        lambda look, _: _probed(look, "max_connections"),
    ),
    gauge(
        "ballast_database_size_bytes",
        "Size of the database, as probed.",
        lambda look, _: _probed(look, "database_bytes"),
    ),
    gauge(
        "ballast_backup_proven_timestamp_seconds",
        "When the last proven backup was taken. Absent while none is known.",
        lambda look, _: (
            None if look.backup.proven is None else look.by_our_clock(look.backup.proven.taken_at)
        ),
    ),
    gauge(
        "ballast_backup_size_bytes",
        "Its size as it is stored.",
        lambda look, _: None if look.backup.proven is None else float(look.backup.proven.bytes),
    ),
    gauge(
        "ballast_backup_overdue",
        "Whether a proven backup is expected and the last one is older than BACKUP_ALARM_HOURS.",
        lambda look, now: float(look.backup.is_overdue(look.by_redis_clock(now))) if look.seen_at else None,
    ),
    gauge(
        "ballast_backup_failed",
        "Whether the last run made no proven backup.",
        lambda look, _: float(look.backup.failed is not None) if look.seen_at else None,
    ),
    Metric(
        "ballast_account_balance",
        Kind.GAUGE,
        ("currency", "account"),
        "Balance of an account of the ledger, in units of the currency; `users` are all of theirs.",
        lambda look, _: [
            ((each.currency, each.account), each.balance / 10 ** look.decimals_of(each.currency))
            for each in (() if look.books is None else look.books.sheet)
        ],
    ),
    Metric(
        "ballast_account_credits_today",
        Kind.GAUGE,
        ("currency", "account", "kind"),
        "What an account was credited since midnight UTC, by kind of transfer, in units of the currency.",
        lambda look, _: _today(look, "credits"),
    ),
    Metric(
        "ballast_account_debits_today",
        Kind.GAUGE,
        ("currency", "account", "kind"),
        "What an account was debited since midnight UTC, by kind of transfer, in units of the currency.",
        lambda look, _: _today(look, "debits"),
    ),
    gauge(
        "ballast_ledger_unsealed_entries",
        "Entries of the ledger that no seal covers yet, up to a million.",
        lambda look, _: None if look.books is None else float(look.books.unsealed),
    ),
    gauge(
        "ballast_ledger_broken_seals",
        "Seals of the ledger that are not whole: entries were changed after they were sealed.",
        lambda look, _: None if look.books is None else float(look.books.broken),
    ),
    gauge(
        "ballast_processes_with_old_database_url",
        "Living processes whose DATABASE_URL is from before the last `ballast move`; they followed it. Absent while no "
        "move is known.",
        lambda look, _: None if look.move is None else float(look.move.with_old_url),
    ),
    gauge(
        "ballast_withdrawals_stuck",
        "Withdrawals that a provider has not settled, or no worker pays, for a quarter of an hour. Absent "
        "while none is open.",
        lambda look, _: None if look.payouts is None else float(len(look.payouts.open.stuck)),
    ),
    gauge(
        "ballast_star_reconciliation_timestamp_seconds",
        "When Telegram's book of Stars was compared with the ledger last. Absent while that is not known.",
        lambda look, _: (
            None
            if look.reconciliation.finished is None
            else look.by_our_clock(look.reconciliation.finished.at)
        ),
    ),
    gauge(
        "ballast_star_differences",
        "Open differences between Telegram's book of Stars and the ledger.",
        lambda look, _: (
            None if look.reconciliation.finished is None else float(look.reconciliation.finished.open)
        ),
    ),
    gauge(
        "ballast_telegram_stars",
        "Telegram's balance of the bot's Stars at the last comparison.",
        lambda look, _: (
            None
            if look.reconciliation.finished is None
            else look.reconciliation.finished.stars + look.reconciliation.finished.nanostars / 1e9
        ),
    ),
    state_set(
        "ballast_quota_state",
        "state",
        tuple(QuotaState),
        "The forecast of the plan's compute hours: 1 for its state.",
        lambda look: look.quota.state.value if look.quota else None,
    ),
    gauge(
        "ballast_quota_used_seconds",
        "Seconds that the database was awake for us this month, estimated.",
        lambda look, _: (
            None if look.quota is None or look.quota.used_hours is None else look.quota.used_hours * 3600
        ),
    ),
)
