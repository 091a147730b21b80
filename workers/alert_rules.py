"""What the admins are told of without asking: that something stands which needs them, and that it is over.

Looked at by the rescuer, so by one worker at a time. What stands is remembered in Redis, so that the next on watch
neither tells it again nor forgets that it was told.

    ballast:alarms           hash   what stands (standing.py)
    ballast:alarms:letters   hash   seen: dead letters counted so far; at: when the last one was
    ballast:alarms:corruption hash  the same, of errors that say that data or an index is damaged
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html import escape
from typing import cast

import redis

from ballast.alerts import active
from ballast.alerts.active import Event
from ballast.alerts.notifier import AdminNotifier
from ballast.backups import record as backup_record
from ballast.backups.record import Record
from ballast.broadcasts.schedule import Schedule
from ballast.command_names import mention
from ballast.inbox import Inbox
from ballast.reconciling import record as reconciliation_record
from ballast.reconciling.record import Finished
from ballast.status import board, books_record, counters, probe_results
from ballast.texts.formats import duration
from dbcore.breaker import FleetView
from dbcore.breaker.rules import BreakerReason
from dbcore.failures import FailureKind
from dbcore.redis_client import redis_time
from dbcore.redis_condition import REFUSES_WRITES, RedisInspector

LOOK_SECONDS = 1.0

BREAKER_SECONDS = 10.0
"""An outage that is over sooner is in the log and on the pages, and nobody is woken for it."""

QUIET_SECONDS = 600.0
"""Dead letters that come within so long of each other are one event, and so are reports of damage."""

OVERDUE_FOR_SECONDS = 5.0
"""On top of the time after which a job is overdue: one look alone wakes nobody."""

OUTBOX_PROBES = 3.0
"""A job that has waited in the outbox for as many probes was passed by at least two relays."""

OUTBOX_STANDS_PROBES = 2.5
"""After an outage what waited is old, and gone by the next probe."""

PROBE_SECONDS_MIN = 60.0

STUCK_TOLD_MAX = 10

LASTED = "{lasted}"

_LETTERS = "ballast:alarms:letters"
_CORRUPTION = "ballast:alarms:corruption"
_CORRUPTIONS_COUNTED = counters.name_of("failures", FailureKind.CORRUPTION.value)

_WHAT: dict[BreakerReason, str] = {
    BreakerReason.OUTAGE: "The database does not answer",
    BreakerReason.SATURATION: "The database is overloaded",
    BreakerReason.AMBIGUOUS: "The database's provider refuses us, and does not say why",
    BreakerReason.QUOTA: "The database's quota is used up",
    BreakerReason.STORAGE: "The database cannot be written to",
    BreakerReason.CONFIGURATION: "The database refuses us: a password, a role or a name is wrong",
}

_QUOTA = (
    "The database says that its quota is used up. Nothing is lost: commands wait in Redis and are done once it answers "
    "again. Nothing mends this by itself before the plan renews: raise the plan at your database's provider, then run "
    "<code>python -m dbcore breaker auto</code> to be back at once."
)
_QUOTA_OVER = (
    f"The database's quota is there again after {LASTED}. What waited is done as soon as it answers."
)
_LETTER = (
    "A job could not be done and waits for you as a dead letter. <code>python -m workers dead-letters list</code> "
    "shows all that are open. Others that follow within ten minutes of each other are not told one by one."
)
_DAMAGED = (
    "PostgreSQL reports damaged data (SQLSTATE XX001 or XX002). Jobs that meet it fail and are on record; all others "
    "go on. Back up the database now, before anything else. PostgreSQL's log names the table or index: a damaged index "
    "is rebuilt by <code>REINDEX</code>, a damaged table is restored from a backup. Then run <code>python -m dbcore "
    "audit</code> and retry the failed jobs (<code>python -m workers dead-letters list</code>)."
)


_MOVING = "The database moves to another server; the bot goes on by itself."
_END_OF_PAUSE = "<code>python -m dbcore breaker auto</code> ends the pause."

_BACKUP_OVER = f"There is a proven backup again after {LASTED}."


STARS_BOOKED_SECONDS = 600.0
"""What the ledger lacked, and can book, is booked by then."""

_STARS_OVER = f"Telegram's book of Stars and the ledger agree again after {LASTED}."


_BROKEN_SEAL = (
    "Entries of the ledger were changed after they were sealed. <code>ballast audit --full</code> says which, and "
    "between which times. Only who writes to PostgreSQL by hand can do that: see docs/security.md."
)


def _stars(found: Finished) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found.counted.items()))
    return (
        f"Telegram's book of Stars and the ledger do not agree: {kinds}. <code>ballast reconcile</code> lists the "
        "differences; docs/payments.md says what each means. If one is as it should be, accept it by "
        "<code>ballast reconcile --accept</code>."
    )


def _backup(backup: Record, now: float) -> str:
    last = (
        "There is no proven one."
        if backup.proven is None
        else f"The last proven one was taken {duration(max(0.0, now - backup.proven.taken_at))} ago."
    )
    why = (
        "A backup is overdue."
        if backup.failed is None
        else f"The last backup was not made, or failed its proof: {escape(backup.failed.error, quote=False)}."
    )
    return f"{why} {last} Run <code>ballast backup</code> on the host of the worker for the queue health to see more."


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that stands now.

    after_seconds -- it is told once it has stood for so long.
    over -- what to say when it no longer stands, with LASTED for how long it did; None for nothing.
    """

    name: str
    text: str
    over: str | None = None
    after_seconds: float = 0.0


class AlarmWatch:
    """Raises redis.RedisError."""

    def __init__(
        self,
        client: redis.Redis,
        notifier: AdminNotifier,
        *,
        look_seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look_seconds = look_seconds
        self._redis = client
        self._bell = notifier
        self._agenda = Schedule(client)
        self._inbox = Inbox(client)
        self._inspector = RedisInspector(client)
        self._clock = clock
        self._looked_at = float("-inf")

    def look(self, fleet: FleetView) -> None:
        """Tell what is new and what is over. Does nothing where that was done a moment ago."""
        if self._clock() - self._looked_at < self._look_seconds:
            return
        self._looked_at = self._clock()
        now = redis_time(self._redis)
        self._bell.drain_payments()
        self._bell.drain()
        known = active.read(self._redis)
        conditions = {condition.name: condition for condition in self._standing(fleet, now)}
        for condition in conditions.values():
            self._heed(condition, known.get(condition.name), now)
        for name, event in known.items():
            if name not in conditions:
                self._end(name, event, now)

    def _heed(self, condition: Condition, event: Event | None, now: float) -> None:
        if event is None:
            event = Event(uuid.uuid4().hex, now)
            if not self._redis.hsetnx(active.KEY, condition.name, event.to_json()):
                return  # somebody else is on watch too, for a moment
        if not event.told and now - event.since >= condition.after_seconds:
            self._bell.notify(event.id, condition.text)
            told = replace(event, told=True, over=condition.over)
            self._redis.hset(active.KEY, condition.name, told.to_json())

    def _end(self, name: str, event: Event, now: float) -> None:
        if event.told and event.over is not None:
            lasted = duration(max(0.0, now - event.since))
            self._bell.notify(event.id, event.over.replace(LASTED, lasted), over=True)
        self._redis.hdel(active.KEY, name)

    def _standing(self, fleet: FleetView, now: float) -> Iterator[Condition]:
        if fleet.paused:
            who = escape(fleet.paused_by or "An operator", quote=False)
            yield Condition(
                "breaker",
                f"{who} has paused the bot. Commands wait in Redis, and people are told that it is paused for "
                f"maintenance. {_MOVING if fleet.moves else _END_OF_PAUSE}",
                over=f"The pause is over after {LASTED}. What waited is being done.",
                after_seconds=BREAKER_SECONDS,
            )
        elif fleet.reason is not None:
            reason = f" (reason: {fleet.reason})"
            quota = fleet.reason is BreakerReason.QUOTA
            more = mention("dbstatus", "{command} shows more.")
            yield Condition(
                "breaker",
                f"{_WHAT[fleet.reason]}{reason}. The breaker is open; commands wait in Redis, and people are told so."
                f"{more and f' {more}'}",
                over=f"The database is back after {LASTED}{reason}. What waited is being done.",
                # A quota is an event of its own. An outage that was told before it became one is not over yet.
                after_seconds=math.inf if quota else BREAKER_SECONDS,
            )
            if quota:
                yield Condition("quota", _QUOTA, over=_QUOTA_OVER)
        for trouble in self._inspector.look().troubles:
            if trouble in REFUSES_WRITES:
                continue  # a frontend tells of that, for this could not
            yield Condition(
                f"redis-{trouble}", trouble.words, over=f"Redis is well again after {LASTED} ({trouble})."
            )
        for broadcast_id in self._agenda.stuck()[:STUCK_TOLD_MAX]:
            yield Condition(
                f"broadcast-{broadcast_id}",
                f"Broadcast {broadcast_id} does not get on: no part of it has ended for three minutes. "
                f"<code>python -m workers broadcast show {broadcast_id}</code> says where it stands.",
                over=f"Broadcast {broadcast_id} goes on, or is over; it was stuck for {LASTED}.",
            )
        probe = probe_results.last(self._redis) or {}
        every = max(PROBE_SECONDS_MIN, probe.get("every_seconds") or 0.0)
        waits = probe.get("outbox_oldest_seconds") or 0.0
        if waits >= OUTBOX_PROBES * every:
            yield Condition(
                "outbox",
                f"Jobs of committed transactions do not get to the workers: the oldest has waited for "
                f"{duration(waits)} in the table outbox. Nothing is lost. Look for <code>relay_waits</code> in the log "
                "of the workers on the queue health.",
                over=f"The jobs in the table outbox get to the workers again after {LASTED}.",
                after_seconds=OUTBOX_STANDS_PROBES * every,
            )
        backup = backup_record.read(self._redis)
        if backup.failed is not None or backup.is_overdue(now):
            yield Condition("backup", _backup(backup, now), over=_BACKUP_OVER)
        stars = reconciliation_record.read(self._redis).finished
        if stars is not None and (
            stars.open > stars.bookable or (stars.open and now - stars.at >= STARS_BOOKED_SECONDS)
        ):
            yield Condition("stars", _stars(stars), over=_STARS_OVER)
        ledger = books_record.read(self._redis)
        if ledger is not None and ledger.broken:
            yield Condition("seals", _BROKEN_SEAL, over="What was sealed of the ledger is whole again.")
        letter_at = self._last_at("dead_letters", _LETTERS, now)
        if letter_at > now - QUIET_SECONDS and not self._all_resolved(letter_at):
            yield Condition("dead-letters", _LETTER)
        if self._last_at(_CORRUPTIONS_COUNTED, _CORRUPTION, now) > now - QUIET_SECONDS:
            yield Condition("corruption", _DAMAGED)
        if overdue := self._inbox.overdue(fleet):
            yield Condition(
                "overdue",
                f"Commands are not being answered: the oldest has waited for {duration(overdue.seconds)} in the queue "
                f"<code>{overdue.queue}</code>, though the database can be asked. Its workers hang, or are too few. "
                "See Workers on the status page.",
                over=f"Commands are being answered again after {LASTED}.",
                after_seconds=OVERDUE_FOR_SECONDS,
            )

    def _all_resolved(self, since: float) -> bool:
        """Whether somebody counted the open dead letters after this time, and found none."""
        counted = [(shown["at"], shown["dead_letters"]["open"])] if (shown := board.read(self._redis)) else []
        if probe := probe_results.last_of_server(self._redis):
            counted.append((probe.get("probed_at") or 0.0, probe.get("open_dead_letters")))
        return any(at > since and number == 0 for at, number in counted)

    def _last_at(self, total: str, key: str, now: float) -> float:
        """When this total last grew, as far as `key` remembers."""
        counted = int(cast("bytes | None", self._redis.hget(counters.KEY, total)) or 0)
        seen, at = cast("list[bytes | None]", self._redis.hmget(key, "seen", "at"))
        if counted > int(seen or 0):
            self._redis.hset(key, mapping={"seen": counted, "at": now})
            return now
        return float(at or 0)
