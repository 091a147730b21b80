"""What a worker process has: an engine synced with the fleet, a Redis client, a reply sender, a heartbeat.

Made after the fork and never shared across one: a connection or an event loop that two processes hold belongs to
neither. A Celery task has it as `task.context`, a job as `TaskContext.worker`; whatever they call gets it, or what it
needs of it.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import redis
import structlog

import ballast
from ballast.backups.schedule import BackupStarter
from ballast.inbox import Answered, Batcher, Finish, Inbox, Note, Noted, Publisher
from ballast.payouts.installed import require_adapter
from ballast.process.garbage import spare_what_stays
from ballast.process.niceness import give_way
from ballast.queueing import event_asking, outbox_relay
from ballast.queueing.queues import DATABASE_QUEUES, DIRECT_QUEUES
from ballast.status.counters import LocalCounters, name_of
from ballast.telegram.presses import Presses
from ballast.telegram.rate_limiter import RateLimiter
from ballast.telegram.reply_sender import ReplySender
from dbcore import bound_bot, known_currencies, outbox
from dbcore.breaker.membership import join
from dbcore.breaker.process_names import name_of_this_process
from dbcore.collisions import Refused
from dbcore.redis_client import connect_redis, require_database
from dbcore.redis_pace import pace_of
from dbcore.settings import Settings, SettingsError, load_settings
from workers import relay
from workers.broadcasts.broadcaster import SENDS_AT_ONCE, Broadcaster
from workers.direct_jobs import DirectJobs
from workers.draining import DRAINED_QUEUES, RoundSize
from workers.heartbeat import Heartbeat
from workers.in_flight import InFlight

if TYPE_CHECKING:
    from celery import Celery

log = structlog.get_logger(__name__)

DRAIN_SECONDS_MAX = 5.0

SWITCH_SECONDS = 0.001
"""For how long a thread computes while another one wants to. With Python's 5 ms the event loop's answers wait while the
thread that does the jobs ends one and begins the next.
"""


class WorkerContext:
    """Everything a task reaches for. `owner` names this process in the inbox's claims."""

    def __init__(
        self,
        settings: Settings,
        app: Celery,
        *,
        queues: Sequence[str] = (),
        forked: bool = False,
        node: str = "",
    ) -> None:
        """queues -- of the worker, also those that are paused. None are those that the app consumes now.
        forked -- it is a prefork pool's child, which runs one task at a time.
        node -- the worker's name in Celery, `main@host`.
        """
        self._node = node
        self.settings = settings
        self.owner = name_of_this_process()
        self.redis = connect_redis(settings)
        pace = pace_of(settings)
        self.inbox = Inbox(self.redis, owner_dead_seconds=pace.owner_dead)
        self.publisher = Publisher(self.redis)
        self.queues = sorted(queues or app.amqp.queues.consume_from)
        bulk = {"broadcasts"} == {*self.queues} & {*DATABASE_QUEUES}
        self.engine, self.link = join(settings, self.redis, self.owner, forked=forked, bulk=bulk)
        self.counters = LocalCounters()
        self.reply_sender = ReplySender(settings, self.counters, bulk_sends_max=SENDS_AT_ONCE)
        self.rate_limiter = RateLimiter(self.redis)
        self.presses = Presses(self.redis)
        self.broadcaster = Broadcaster(
            self.redis, self.engine, self.inbox, self.publisher, self.reply_sender.closing, self.rate_limiter
        )
        self.relay = relay.Relay(self.redis, self.engine, self.inbox, self.publisher)
        # Each of the reply sender's loop.
        self.clearings: Batcher[int, bool] = Batcher(self.rate_limiter.are_clear)
        self.turns: Batcher[tuple[int, int], float] = Batcher(self.rate_limiter.interactive_many)
        self.noting: Batcher[Note, Noted] = Batcher(self.inbox.note_many)
        self.method_waits: Batcher[str, float] = Batcher(self.rate_limiter.method_waits)
        self.finishing: Batcher[Answered, Finish] = Batcher(self._finish_many)
        self.direct_jobs: DirectJobs | None = None
        # Not in a process whose tasks may take long, nor where Redis is asked seldom: nobody would soon notice that a
        # job waits, or was lost.
        does_commands_alone = {*DIRECT_QUEUES} <= {*self.queues} <= DRAINED_QUEUES
        if forked and does_commands_alone and self.inbox.takes_over:
            self.direct_jobs = DirectJobs(self.redis, self.inbox, self.owner, node, check_seconds=pace.check)
        self.backups = BackupStarter(self.redis, settings)
        self.in_flight = InFlight()
        self.round_size = RoundSize()
        self.heartbeat = Heartbeat(
            self.inbox, self.owner, self.in_flight, self._report, self._counts, idle_seconds=pace.beat
        )

    def start(self) -> None:
        self.link.start()
        self.heartbeat.start()
        outbox.listen(lambda: outbox_relay.ask(self.redis, self.publisher))
        log.info("Database stability monitoring started", owner=self.owner)

    def ask_for_events(self) -> None:
        """Something was committed that a program outside may want to know. Raises nothing."""
        if self.settings.events_url is not None:
            event_asking.ask(self.redis, self.publisher)

    def stop(self) -> None:
        """Let answers under way go out, then give back what is still held."""
        outbox.listen(None)
        if self.direct_jobs is not None:
            self.direct_jobs.close()
        self.reply_sender.close(DRAIN_SECONDS_MAX)
        self.heartbeat.stop()
        self.link.stop()
        try:
            self.inbox.leave(self.owner)
        except redis.RedisError as error:
            # Without the farewell the rescuer finds out by the missing heartbeat, some seconds later.
            log.warning("farewell_failed", error=type(error).__name__)
        self.engine.dispose()

    def _finish_many(self, jobs: Sequence[Answered]) -> list[Finish]:
        """Drop the records of jobs that are answered, and publish the next ones of their lanes."""
        with self.direct_jobs.offer() if self.direct_jobs is not None else nullcontext() as idle:
            finished = self.inbox.finish_many(jobs, idle=idle)
        self.publisher.publish_many([one.following for one in finished if one.following is not None])
        return finished

    def _report(self) -> dict[str, Any]:
        return {
            "name": self._node.partition("@")[0],
            "node": self._node,
            "version": ballast.__version__,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "queues": self.queues,
            "doing": self.in_flight.doing(),
            "database": asdict(self.engine.snapshot()),
        }

    def _counts(self) -> dict[str, int]:
        """Since the process began, by the names that totals are kept under."""
        database = self.engine.snapshot()
        return {
            **self.counters.counts(),
            "database|calls": database.calls_total,
            "database|failed": database.failed_operations_total,
            "database|refused": database.refused_total,
            "database|retries": database.retries_total,
            "database|unknown_outcomes": database.unknown_outcomes_total,
            **{name_of("failures", kind): count for kind, count in database.failures_by_kind.items()},
        }


class WorkerContexts:
    """Of an application's processes, each its own. Its functions are for Celery's signals."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._node = ""  # the children have it by the fork
        self._queues: Sequence[str] = ()
        self._lock = threading.Lock()
        self._made: WorkerContext | None = None
        self._made_by: int | None = None

    def mine(self, *, forked: bool = False) -> WorkerContext:
        """This process's, made at the first call: also in pools that do not fork (threads, solo)."""
        with self._lock:
            if self._made is None or self._made_by != os.getpid():
                self._made = WorkerContext(
                    load_settings(), self._app, queues=self._queues, forked=forked, node=self._node
                )
                self._made_by = os.getpid()
                self._made.start()
            return self._made

    def note_queues(self, queues: Sequence[str]) -> None:
        """Before any is paused: a child that is forked later would not find it among those that are consumed."""
        self._queues = queues

    def note_node(self, sender: str, **_celery: Any) -> None:
        """Celery's `celeryd_init`: before any child is forked."""
        try:
            settings = load_settings()
            require_database(settings)
            require_adapter(settings)
            bound_bot.require_own(settings)
            known_currencies.require(settings)
        except (SettingsError, Refused) as error:
            sys.exit(f"ballast: {error}")
        sys.setswitchinterval(SWITCH_SECONDS)  # the children have it by the fork
        self._node = sender

    def start(self, **_celery: Any) -> None:
        """Celery's `worker_process_init`: the child is forked, and may be waited for by nobody yet."""
        if self.mine(forked=True).queues == ["broadcasts"]:
            give_way()
        spare_what_stays()

    def stop(self, **_celery: Any) -> None:
        """Celery's `worker_process_shutdown`."""
        if self._made is not None and self._made_by == os.getpid():
            self._made.stop()
