"""The rescuer brings back jobs that were lost on the way: their process died, or Celery dropped the message.

A bootstep in every worker; the one that holds the lease works, the others stand by. Two at work at once would do no
harm: each job is handed out by one atomic script, and a second copy of a message is dropped by the claim.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Collection, Sequence
from typing import Any

import redis
import structlog
from celery import bootsteps

from ballast.alerts.notifier import AdminNotifier
from ballast.chat.notices import answer_without_database, queued_notice, waits_for_the_database
from ballast.inbox import Inbox, Publisher
from ballast.inbox.records import Waiting, record_key
from ballast.messages import to_json
from ballast.queueing import event_asking, outbox_relay
from ballast.queueing.envelope import queue_of
from ballast.queueing.kinds import READING_KINDS, WRITING_KINDS
from ballast.queueing.queue_pauses import PauseReader
from ballast.queueing.queues import DATABASE_QUEUES
from dbcore.breaker import CachedStateReader, FleetView, outages
from dbcore.breaker.process_names import has_ended
from dbcore.redis_pace import RESPONSIVE, RedisPace, pace_of
from dbcore.settings import Settings, load_settings
from workers import parent, unknown_kinds
from workers.alert_rules import AlarmWatch

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.25

SWEEP_SECONDS = 4.0
"""While nothing is on record: between two looks for processes that ended."""

RELAY_AGAIN_SECONDS = 0.5
"""The process that runs the relay may hear later than the rescuer that the breaker is closed, and until then it is
refused. So the relay is asked for again, so long after each process has heard.
"""

BATCH = 500
BATCHES_PER_TICK_MAX = 5
LEASE_KEY = "ballast:rescuer"
LEASE_SECONDS = 1.5
TELL_OUTAGE_SECONDS = 1.0
"""Between looks at whether EVENTS_URL knows of an outage."""

SHUT_KEY = "ballast:rescuer:shut"
"""There while something is shut, until the relay was asked for: whoever takes the lease over asks for it."""


class Rescuer:
    """Looks four times a second while it holds the lease; ten times while something is shut; more seldom while no job
    is on record, for then nothing can be lost.
    """

    def __init__(
        self,
        client: redis.Redis,
        inbox: Inbox,
        publisher: Publisher,
        settings: Settings,
        admin_ids: Collection[int] = (),
        pace: RedisPace = RESPONSIVE,
    ) -> None:
        """admin_ids -- who is told of what a person should know."""
        self._redis = client
        self._settings = settings
        self._pace = pace
        self._holds_lease = False
        self._swept_at = float("-inf")
        self._relay_asked_again_at = float("inf")
        self._tell_outage_at = float("-inf")
        self._shut: Sequence[str] = ()
        self._pause_reader = PauseReader(client)
        self._state_reader = CachedStateReader(client)
        self._alarms = AlarmWatch(
            client, AdminNotifier(client, inbox, publisher, admin_ids), look_seconds=pace.alarms
        )
        self._name = uuid.uuid4().hex
        self._inbox = inbox
        self._publisher = publisher
        self._pause = TICK_SECONDS
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rescuer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=5)
        if self._holds_lease:
            try:
                self._renew_lease(1)  # the next one need not wait for its end
            except redis.RedisError as error:
                log.warning("rescuer_farewell_failed", error=type(error).__name__)

    def look(self) -> int:
        """Publish what is due again, if the lease is ours. Returns how many jobs."""
        leased_ms = self._lease_ms()
        if not self._has_lease():
            self._pause = self._pace.standby
            return 0
        # Held back until it closes: published now they would only be given back, over and over.
        view = self._state_reader.read()
        shut: Sequence[str] = ()
        if view.is_open:
            shut = DATABASE_QUEUES
        elif view.is_read_only:
            shut = WRITING_KINDS
        is_outage = bool(shut)
        paused = self._pause_reader.read()
        shut = (*shut, *(queue for queue in paused if queue not in shut))
        on_record = self._inbox.size()
        # What is shut holds jobs back, and they are to go on as soon as it no longer is.
        self._pause = (self._pace.near if shut else TICK_SECONDS) if on_record else self._pace.rescue
        now = time.monotonic()
        published = 0
        if on_record or shut != self._shut or now - self._swept_at >= SWEEP_SECONDS:
            published = self._rescue(shut, view, paused)
            if shut and not self._shut:
                self._redis.set(SHUT_KEY, 1)
            if self._shut and not shut:
                outbox_relay.ask(self._redis, self._publisher)
                self._redis.delete(SHUT_KEY)
                self._relay_asked_again_at = now + self._pace.link + RELAY_AGAIN_SECONDS
            self._shut, self._swept_at = shut, now
        if now >= self._relay_asked_again_at:
            outbox_relay.ask(self._redis, self._publisher)
            self._relay_asked_again_at = float("inf")
        if is_outage and self._settings.events_url is not None and now >= self._tell_outage_at:
            event_asking.ask_to_tell_outage(self._redis, self._publisher, view.since)
            self._tell_outage_at = now + TELL_OUTAGE_SECONDS
        self._alarms.look(view)
        if self._lease_ms() > leased_ms:
            self._redis.pexpire(LEASE_KEY, self._lease_ms())
        return published

    def _has_lease(self) -> bool:
        if self._holds_lease:
            self._holds_lease = self._renew_lease(self._lease_ms())
        if not self._holds_lease:
            self._holds_lease = bool(self._redis.set(LEASE_KEY, self._name, nx=True, px=self._lease_ms()))
            if self._holds_lease and self._redis.exists(SHUT_KEY):
                self._shut = DATABASE_QUEUES  # whoever had it may have ended at the close, before it looked
        return self._holds_lease

    def _renew_lease(self, milliseconds: int) -> bool:
        """Not in one step: where it passes to another in between, theirs ends at another time, which does no harm."""
        is_ours = self._redis.get(LEASE_KEY) == self._name.encode()
        return is_ours and bool(self._redis.pexpire(LEASE_KEY, milliseconds))

    def _lease_ms(self) -> int:
        """Until well after the next look."""
        return round(1000 * max(LEASE_SECONDS, 2 * self._pause))

    def _rescue(self, shut: Sequence[str], view: FleetView, paused: Collection[str]) -> int:
        self._bury_the_ended()
        published = 0
        for _ in range(BATCHES_PER_TICK_MAX):
            looked_at, dispatches = self._inbox.rescue(BATCH, shut=shut)
            published += unknown_kinds.publish(self._inbox, self._publisher, dispatches)
            if looked_at < BATCH:
                break
        self._heed_those_who_wait(view, paused)
        return published

    def _bury_the_ended(self) -> None:
        """Neighbours that are seen to have ended, before their heartbeat is missed."""
        for owner in self._inbox.owners():
            if has_ended(owner):
                self._inbox.leave(owner)
                log.info("owner_ended", owner=owner)

    def _heed_those_who_wait(self, view: FleetView, paused: Collection[str]) -> None:
        """Tell those whose commands were taken before anybody knew that the database is unavailable, and count all."""
        with self._inbox.take_waiting(BATCH) as all_waiting:
            found = []
            for waiting in all_waiting:
                is_paused = queue_of(waiting.envelope.kind) in paused
                try:
                    waits = self._heed(waiting, paused=view.paused or is_paused)
                except redis.RedisError:
                    raise
                except Exception:  # one bad record must not keep all others from being told, again and again
                    log.exception("not_told_to_wait", job_id=waiting.envelope.job_id)
                    continue
                if waits and not is_paused:  # by an outage
                    job_id = waiting.envelope.job_id
                    found.append(outages.WaitingJob(job_id, record_key(job_id), waiting.taken_at))
            if found:
                outages.note_waiting(self._redis, found, is_on=view.is_open or view.is_read_only)

    def _heed(self, waiting: Waiting, *, paused: bool) -> bool:
        """Answer it or tell its user that it waits, where nobody did yet; whether somebody waits for it from now on."""
        envelope = waiting.envelope
        if not (envelope.told_to_wait or waiting.is_told):
            answer = answer_without_database(
                envelope, self._inbox.balances, self._inbox.answers, self._settings, paused=paused
            )
            if answer is not None:
                unless_begun = envelope.kind not in READING_KINDS
                dispatch = self._inbox.answer(envelope.job_id, to_json(answer), unless_begun=unless_begun)
                if dispatch is not None:
                    self._publisher.publish(dispatch)
                if dispatch is not None or not unless_begun:
                    return False
            notice = queued_notice(envelope, self._settings, paused=paused)
            if notice is not None and (dispatch := self._inbox.accept(notice).dispatch):
                self._publisher.publish(dispatch)
        return waits_for_the_database(envelope)

    def _run(self) -> None:
        while not self._stopped.wait(self._pause):
            try:
                count = self.look()
            except redis.RedisError as error:
                log.warning("rescuer_without_redis", error=type(error).__name__)
                continue
            except Exception:  # the edge of a thread: one bad record must not end one rescuer after the other
                log.exception("rescuer_tripped")
                continue
            if count:
                log.info("rescued", jobs=count)


class RescuerStep(bootsteps.StartStopStep):
    """Runs a Rescuer beside the worker's consumer, in the parent process."""

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._rescuer: Rescuer | None = None

    def start(self, worker: Any) -> None:
        settings = load_settings()
        client = parent.redis_client()
        pace = pace_of(settings)
        inbox = Inbox(client, owner_dead_seconds=pace.owner_dead)
        self._rescuer = Rescuer(client, inbox, Publisher(client), settings, settings.admin_ids, pace)
        self._rescuer.start()

    def stop(self, worker: Any) -> None:
        if self._rescuer is not None:
            self._rescuer.stop()
