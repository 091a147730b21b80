"""How all is, in plain words, from what Redis holds. Pure; for the frontend's pages and for /dbstatus alike."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ballast.inbox import Overdue
from ballast.status.probe_results import SCHEMA
from ballast.texts import gettext, gettext_noop, ngettext
from ballast.texts.formats import duration
from dbcore.breaker import FleetView
from dbcore.breaker.rules import BreakerReason, BreakerState
from dbcore.redis_condition import STOPS_INTAKE, RedisTrouble

_LETS_THROUGH = frozenset({BreakerState.CLOSED, BreakerState.DISABLED})

BEHIND_SECONDS = 30.0
"""A job that waits for longer is behind, and not only under way."""

SLOW_ANSWERS_SECONDS = 10.0
"""Answers of the last minute that took longer are no good state, whatever else is."""

BREAKER_WORDS = {
    BreakerState.CLOSED: gettext_noop("closed, all is let through"),
    BreakerState.OPEN: gettext_noop("open, nothing is let through"),
    BreakerState.HALF_OPEN: gettext_noop("half-open, one probe is let through"),
    BreakerState.FORCED_OPEN: gettext_noop("held open by an operator"),
    BreakerState.DISABLED: gettext_noop("held closed by an operator"),
}

_REMEDIES: dict[BreakerReason | None, str] = {
    BreakerReason.OUTAGE: gettext_noop("The database does not answer: see to its server."),
    BreakerReason.SATURATION: gettext_noop(
        "The database is overloaded: look for others' connections and slow statements."
    ),
    BreakerReason.AMBIGUOUS: gettext_noop(
        "The database's provider refuses us, and does not say why: see its status page."
    ),
    BreakerReason.QUOTA: gettext_noop(
        "The database's quota is used up: raise the plan, then release the breaker."
    ),
    BreakerReason.STORAGE: gettext_noop(
        "The database cannot be written to: make room. Balances can still be read."
    ),
    BreakerReason.CONFIGURATION: gettext_noop(
        "The database refuses us: a password, a role or a name is wrong."
    ),
    None: gettext_noop("Set the breaker to Automatic when done, here or by python -m dbcore breaker auto."),
}

_MOVING = gettext_noop(
    "The database moves to another server: `ballast move` goes on by itself, and so does the bot should it end."
)

_INTAKE_ERRORS = {
    "Conflict": gettext_noop("another process asks with the same token, so stop one of the two"),
    "WebhookGone": gettext_noop("the webhook was removed, and is set again"),
    "WebhookElsewhere": gettext_noop(
        "another deployment sets this bot's webhook to its own address, so stop one of the two"
    ),
}


class DatabaseState(StrEnum):
    """REACHABLE -- somebody listens there; one that may sleep was not woken to ask more."""

    OK = "ok"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"
    REACHABLE = "reachable"


class HealthLevel(StrEnum):
    """How all is, the worst last."""

    UNKNOWN = "unknown"
    OK = "ok"
    WORKING_THROUGH = "working_through"
    DEGRADED = "degraded"
    AWAY = "away"
    DOWN = "down"


class ServiceState(StrEnum):
    """What people notice. LATE -- commands are taken, and some answers take longer than usual. FAILS -- nobody is
    answered; what people write is kept.
    """

    WORKS = "works"
    LATE = "late"
    PAUSED = "paused"
    FAILS = "fails"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class HealthSummary:
    """words -- a sentence or two: what people notice, and what to do."""

    state: HealthLevel
    title: str
    words: str


@dataclass(frozen=True, slots=True)
class HealthInputs:
    """What a verdict goes by.

    takes_jobs -- whether Redis answers. seen -- whether what it holds was ever seen, and could be read.
    redis_trouble -- what is wrong with it though it answers, the worst there is.
    intake_error -- why updates do not reach us, where they do not.
    overdue -- the job that has waited longest for a worker to begin it, where that is too long.
    lost_to_one_job -- processes that one job has cost in the last minute, where it was more than one.
    paused_seconds -- since an operator paused the bot, where one did. paused_queues -- those that one paused.
    failed_jobs -- open ones, as last seen. alarms -- how many are active.
    answers_seconds -- within which 95% of the last minute's answers came.
    """

    takes_jobs: bool
    seen: bool
    database: DatabaseState
    breaker: FleetView | None
    probe_kind: str | None
    intake_error: str | None
    processes: int
    unattended: Sequence[str]
    waiting: int
    held_back: int
    oldest_seconds: float
    overdue: Overdue | None = None
    lost_to_one_job: int = 0
    paused_seconds: float | None = None
    paused_queues: Sequence[str] = ()
    failed_jobs: int = 0
    alarms: int = 0
    answers_seconds: float = 0.0
    redis_trouble: RedisTrouble | None = None


def summarize(now: HealthInputs) -> HealthSummary:
    """The worst of what holds."""
    if not now.takes_jobs:
        return HealthSummary(
            HealthLevel.DOWN,
            gettext("Redis does not answer"),
            gettext(
                "No command can be taken, and people get no answers. Telegram keeps what they write for a day: see to "
                "Redis, and all goes on by itself."
            ),
        )
    if now.redis_trouble in STOPS_INTAKE:
        kept = gettext("Telegram keeps new messages for a day.")
        return HealthSummary(
            HealthLevel.DOWN,
            gettext("Redis cannot hold commands"),
            f"{gettext(now.redis_trouble.words)} {kept}",
        )
    if not now.seen:
        return HealthSummary(
            HealthLevel.UNKNOWN,
            gettext("Status unknown"),
            gettext(
                "Redis answers, but what it holds was not read yet, or is of another release. The frontend's log says "
                "more."
            ),
        )
    if now.database is DatabaseState.UNAVAILABLE:
        return HealthSummary(HealthLevel.AWAY, *_away(now))
    return (
        _troubled(now)
        or _behind(now)
        or _flawed(now)
        or HealthSummary(HealthLevel.OK, gettext("All is well"), _well(now))
    )


def service_state(now: HealthInputs) -> ServiceState:
    """The same for people outside, who are not to know of failed jobs and alarms."""
    match summarize(now).state:
        case HealthLevel.OK:
            return ServiceState.WORKS
        case HealthLevel.UNKNOWN:
            return ServiceState.UNKNOWN
        case HealthLevel.WORKING_THROUGH:
            return ServiceState.LATE
        case HealthLevel.AWAY if now.breaker is not None and now.breaker.paused:
            return ServiceState.PAUSED
        case HealthLevel.DEGRADED if now.processes:
            is_late = _troubled(now) is not None or now.answers_seconds > SLOW_ANSWERS_SECONDS
            return ServiceState.LATE if is_late else ServiceState.WORKS
    return ServiceState.FAILS


def _away(now: HealthInputs) -> tuple[str, str]:
    title = database_sentence(now.database, now.breaker).removesuffix(".")
    if now.breaker is not None and now.breaker.paused:
        remedy = gettext(_MOVING if now.breaker.moves else _REMEDIES[None])
        return title, f"{_paused(now.breaker.paused_by, duration(now.paused_seconds or 0.0))} {remedy}"
    if now.breaker is not None and now.breaker.state not in _LETS_THROUGH:
        remedy = gettext(_REMEDIES[now.breaker.reason])
    else:
        why = now.probe_kind
        if why in {None, SCHEMA}:
            why = gettext("tables or functions are missing: is the schema migrated?")
        remedy = gettext("It was let through, but nobody had an answer since ({why}).", why=why)
    kept = gettext("Commands wait in Redis and people are told so; nothing is lost.")
    return title, f"{remedy} {kept}"


def _paused(by: str | None, lasted: str) -> str:
    if by is None:
        return gettext(
            "Paused by an operator for {duration}. Commands wait in Redis, and people are told that the bot is paused "
            "for maintenance; nothing is lost.",
            duration=lasted,
        )
    return gettext(
        "Paused by {name} for {duration}. Commands wait in Redis, and people are told that the bot is paused for "
        "maintenance; nothing is lost.",
        name=by,
        duration=lasted,
    )


def _troubled(now: HealthInputs) -> HealthSummary | None:
    if not now.processes:
        title = gettext("No worker is running")
        words = gettext("Commands are taken and wait in Redis, and nobody answers them. Start the workers.")
    elif now.unattended:
        title = gettext("A queue has no worker")
        words = gettext(
            "Jobs wait in {queues}, and no worker takes from there. Start one for it.",
            queues=", ".join(now.unattended),
        )
    elif now.paused_queues:
        title = gettext("A queue is paused")
        words = gettext(
            "Jobs in {queues} wait until somebody resumes it, and people are told that they wait. Resume it under "
            "Jobs below.",
            queues=", ".join(now.paused_queues),
        )
    elif now.lost_to_one_job:
        title = gettext("A job ends worker processes")
        words = ngettext(
            "One job has ended {count} of them. After five it is a failed job; until then, others may wait longer. The "
            "workers' log names the job (process_lost).",
            "One job has ended {count} of them. After five it is a failed job; until then, others may wait longer. The "
            "workers' log names the job (process_lost).",
            now.lost_to_one_job,
        )
    elif now.overdue:
        title = gettext("Commands are not being answered")
        words = gettext(
            "The oldest has waited for {duration} in the queue {queue}, though the database can be asked: its workers "
            "hang, or are too few. See Workers below.",
            duration=duration(now.overdue.seconds),
            queue=now.overdue.queue,
        )
    elif now.intake_error is not None:
        title = gettext("Telegram's messages do not reach us")
        if now.intake_error in _INTAKE_ERRORS:
            why = gettext(_INTAKE_ERRORS[now.intake_error])
        else:
            why = gettext("the last try ended with {error}", error=now.intake_error)
        words = gettext("What people write is not heard: {why}. Telegram keeps it for a day.", why=why)
    elif now.redis_trouble is not None:
        title, words = gettext("Redis is not safe"), gettext(now.redis_trouble.words)
    else:
        return None
    return HealthSummary(HealthLevel.DEGRADED, title, words)


def _behind(now: HealthInputs) -> HealthSummary | None:
    if not now.held_back and now.oldest_seconds < BEHIND_SECONDS:
        return None
    words = ngettext(
        "Everything is available again. {count} job is still waiting, the oldest for {duration}. If the queue keeps "
        "growing, add workers.",
        "Everything is available again. {count} jobs are still waiting, the oldest for {duration}. If the queue keeps "
        "growing, add workers.",
        now.waiting,
        duration=duration(now.oldest_seconds),
    )
    return HealthSummary(HealthLevel.WORKING_THROUGH, gettext("Recovering"), words)


def _flawed(now: HealthInputs) -> HealthSummary | None:
    """Commands are answered, and all the same somebody should look."""
    if now.failed_jobs:
        title = ngettext(
            "Running, but {count} failed job needs you",
            "Running, but {count} failed jobs need you",
            now.failed_jobs,
        )
        words = gettext("Commands are answered. Retry or discard each under Failed jobs below.")
    elif now.alarms:
        title = ngettext(
            "Running, but {count} alarm is active", "Running, but {count} alarms are active", now.alarms
        )
        words = gettext("Commands are answered. The line below says what the alarm is about.")
    elif now.answers_seconds > SLOW_ANSWERS_SECONDS:
        title = gettext("Running, but answers are slow")
        words = gettext(
            "In the last minute some answers took {duration}. After an outage that passes; otherwise add workers.",
            duration=duration(now.answers_seconds),
        )
    else:
        return None
    return HealthSummary(HealthLevel.DEGRADED, title, words)


def _well(now: HealthInputs) -> str:
    if now.database is DatabaseState.UNKNOWN:
        return gettext("Commands are answered. The database has not been checked recently.")
    if now.database is DatabaseState.REACHABLE:
        return gettext(
            "Commands are answered. The database sleeps, or may, and was not woken to ask how it is."
        )
    return gettext("Commands are answered as they come, and the database is well.")


def database_sentence(state: DatabaseState, breaker: FleetView | None) -> str:
    match state:
        case DatabaseState.OK:
            return gettext("The database is well.")
        case DatabaseState.REACHABLE:
            return gettext("The database can be reached.")
        case DatabaseState.UNKNOWN:
            return gettext("The database has not been checked recently.")
    if breaker is None or breaker.state in _LETS_THROUGH:
        return gettext("The last probe of the database failed.")
    if breaker.paused:
        if breaker.paused_by is None:
            return gettext("Paused by an operator.")
        return gettext("Paused by {name}.", name=breaker.paused_by)
    if breaker.is_read_only:
        return gettext("The database can only be read.")
    return gettext("The database is unavailable.")


def database_state(
    breaker: FleetView | None,
    probe: Mapping[str, Any] | None,
    answered_at: float | None,
    stale_before: float = 0.0,
) -> DatabaseState:
    """UNKNOWN before the first probe, and if nobody looked lately. That the breaker lets nothing through is known.

    probe -- the last one. answered_at -- when the database last answered any process, by Redis's clock: one probe that
    failed says nothing once somebody else was answered. stale_before -- what was seen before then says nothing of now.
    """
    if breaker is not None and breaker.state not in _LETS_THROUGH:
        return DatabaseState.UNAVAILABLE
    if probe is None or max(probe.get("probed_at", 0.0), answered_at or 0.0) < stale_before:
        return DatabaseState.UNKNOWN
    if probe.get("ok"):
        return DatabaseState.REACHABLE if probe.get("by") == "tcp" else DatabaseState.OK
    if probe.get("missing_tables") or probe.get("kind") == SCHEMA:
        return DatabaseState.UNAVAILABLE  # it answers, and nothing works
    well_since = max(answered_at or 0.0, breaker.since if breaker else 0.0)
    return DatabaseState.UNAVAILABLE if probe.get("probed_at", 0.0) > well_since else DatabaseState.OK


def last_answered_at(processes: Iterable[Mapping[str, Any]]) -> float | None:
    """When the database last answered any of them, by Redis's clock; None where nobody says so.

    processes -- their reports, as the inbox has them.
    """
    return max((at for report in processes if (at := _when(report, "answered_ago_seconds"))), default=None)


def failures_in_a_row(processes: Collection[Mapping[str, Any]]) -> int | None:
    """Of the process that has most, whatever failed before the database last answered any of them being forgotten;
    None where there is no process.

    processes -- as above. An outage seen by many is still one, and who had nothing to ask since is no longer in it.
    """
    answered_at = last_answered_at(processes) or 0.0
    rows = [
        report["database"].get("failed_operations", 0)
        if _when(report, "failed_ago_seconds") > answered_at
        else 0
        for report in processes
        if report.get("database")
    ]
    return max(rows, default=None)


def _when(report: Mapping[str, Any], ago: str) -> float:
    """When that was, by Redis's clock; 0 where the process does not say."""
    seconds = (report.get("database") or {}).get(ago)
    return report["beat_at"] - seconds if isinstance(seconds, int | float) else 0.0
