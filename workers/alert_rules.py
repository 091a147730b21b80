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
from functools import partial
from typing import cast

import redis

from ballast.alerts import active
from ballast.alerts.active import Event
from ballast.alerts.notifier import AdminNotifier, in_each, in_each_language
from ballast.backups import record as backup_record
from ballast.broadcasts.schedule import Schedule
from ballast.inbox import Inbox
from ballast.payouts import record as payouts_record
from ballast.queueing import queue_pauses
from ballast.reconciling import provider_record
from ballast.reconciling import record as reconciliation_record
from ballast.status import board, books_record, counters, failed_causes, probe_results
from ballast.texts import ENGLISH, gettext
from dbcore.breaker import FleetView
from dbcore.breaker.rules import BreakerReason
from dbcore.failures import FailureKind
from dbcore.redis_client import redis_time
from dbcore.redis_condition import REFUSES_WRITES, RedisInspector
from workers import alert_texts

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

_LETTERS = "ballast:alarms:letters"
_CORRUPTION = "ballast:alarms:corruption"
_CORRUPTIONS_COUNTED = counters.name_of("failures", FailureKind.CORRUPTION.value)

STARS_BOOKED_SECONDS = 600.0
"""What the ledger lacked, and can book, is booked by then."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that stands now.

    after_seconds -- it is told once it has stood for so long.
    text -- says it, in the language that is spoken, as Telegram's HTML.
    over -- says what to say when it no longer stands, with LASTED of alert_texts for how long it did; None for nothing.
    """

    name: str
    text: Callable[[], str]
    over: Callable[[], str] | None = None
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
            self._bell.notify(event.id, in_each_language(condition.text))
            over = in_each_language(condition.over) if condition.over is not None else {}
            told = replace(event, told=True, over=over.get(ENGLISH))
            active.note_told(self._redis, condition.name, told, over)

    def _end(self, name: str, event: Event, now: float) -> None:
        if event.told and event.over is not None:
            seconds = max(0.0, now - event.since)
            over = {ENGLISH: event.over, **active.over(self._redis, name, event)}
            said = in_each(over, lambda text: alert_texts.lasted(text, seconds))
            self._bell.notify(event.id, said, over=True)
        active.forget(self._redis, name)

    def _standing(self, fleet: FleetView, now: float) -> Iterator[Condition]:
        if fleet.paused:
            yield Condition(
                "breaker",
                partial(alert_texts.paused, fleet.paused_by, moves=fleet.moves),
                over=alert_texts.pause_over,
                after_seconds=BREAKER_SECONDS,
            )
        elif fleet.reason is not None:
            reason = fleet.reason
            quota = reason is BreakerReason.QUOTA
            yield Condition(
                "breaker",
                partial(alert_texts.outage, reason),
                over=partial(alert_texts.outage_over, reason),
                # A quota is an event of its own. An outage that was told before it became one is not over yet.
                after_seconds=math.inf if quota else BREAKER_SECONDS,
            )
            if quota:
                yield Condition("quota", alert_texts.quota, over=alert_texts.quota_over)
        for trouble in self._inspector.look().troubles:
            if trouble in REFUSES_WRITES:
                continue  # a frontend tells of that, for this could not
            yield Condition(
                f"redis-{trouble}",
                partial(gettext, trouble.words),
                over=partial(alert_texts.redis_over, trouble),
            )
        for broadcast_id in self._agenda.stuck()[:STUCK_TOLD_MAX]:
            yield Condition(
                f"broadcast-{broadcast_id}",
                partial(alert_texts.stuck, broadcast_id),
                over=partial(alert_texts.stuck_over, broadcast_id),
            )
        probe = probe_results.last(self._redis) or {}
        every = max(PROBE_SECONDS_MIN, probe.get("every_seconds") or 0.0)
        waits = probe.get("outbox_oldest_seconds") or 0.0
        if waits >= OUTBOX_PROBES * every:
            yield Condition(
                "outbox",
                partial(alert_texts.outbox, waits),
                over=alert_texts.outbox_over,
                after_seconds=OUTBOX_STANDS_PROBES * every,
            )
        backup = backup_record.read(self._redis)
        if backup.failed is not None or backup.is_overdue(now):
            yield Condition("backup", partial(alert_texts.backup, backup, now), over=alert_texts.backup_over)
        stars = reconciliation_record.read(self._redis).finished
        if stars is not None and (
            stars.open > stars.bookable or (stars.open and now - stars.at >= STARS_BOOKED_SECONDS)
        ):
            yield Condition("stars", partial(alert_texts.stars, stars), over=alert_texts.stars_over)
        for compared in provider_record.read(self._redis):
            # Some are being booked.
            is_late = compared.at is not None and now - compared.at >= STARS_BOOKED_SECONDS
            if compared.open > compared.bookable or (compared.open and is_late):
                yield Condition(
                    f"provider-{compared.provider}",
                    partial(alert_texts.provider_differs, compared),
                    over=partial(alert_texts.provider_agrees, compared.provider),
                )
        payouts = payouts_record.read(self._redis)
        for each in () if payouts is None else payouts.open.stuck[:STUCK_TOLD_MAX]:
            yield Condition(
                f"withdrawal-{each.number}",
                partial(alert_texts.stuck_withdrawal, each),
                over=partial(alert_texts.stuck_withdrawal_over, each.number),
            )
        ledger = books_record.read(self._redis)
        if ledger is not None and ledger.broken:
            yield Condition("seals", alert_texts.broken_seal, over=alert_texts.seals_over)
        letter_at = self._last_at("dead_letters", _LETTERS, now)
        if letter_at > now - QUIET_SECONDS and not self._all_resolved(letter_at):
            yield Condition("dead-letters", partial(alert_texts.failed_job, failed_causes.read(self._redis)))
        if self._last_at(_CORRUPTIONS_COUNTED, _CORRUPTION, now) > now - QUIET_SECONDS:
            yield Condition("corruption", alert_texts.damaged_data)
        for queue in queue_pauses.read(self._redis):
            yield Condition(
                f"queue-{queue}",
                partial(alert_texts.paused_queue, queue),
                over=partial(alert_texts.paused_queue_over, queue),
                after_seconds=alert_texts.PAUSED_QUEUE_SECONDS,
            )
        if overdue := self._inbox.overdue(fleet):
            yield Condition(
                "overdue",
                partial(alert_texts.overdue, overdue),
                over=alert_texts.overdue_over,
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
