"""What a worker process has: an engine synced with the fleet, a Redis client, a reply sender, a heartbeat.

Made after the fork and never shared across one: a connection or an event loop that two processes hold belongs to
neither. `current()` is the only way in; it also serves pools that do not fork (threads, solo).
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import redis
import structlog

import ballast
from dbcore import bound_bot, outbox
from dbcore.breaker.membership import join
from dbcore.breaker.process_names import name_of_this_process
from dbcore.collisions import Refused
from dbcore.redis_client import connect_redis, require_database
from dbcore.redis_pace import pace_of
from dbcore.settings import Settings, SettingsError, load_settings
from workers import relay
from workers.broadcasts.broadcaster import SENDS_AT_ONCE, Broadcaster
from workers.draining import RoundSize
from workers.heartbeat import Heartbeat
from workers.in_flight import InFlight
from workers.inbox import Answered, Batcher, Finish, Inbox, Note, Noted, Publisher
from workers.jobs import DATABASE_QUEUES
from workers.status.counters import LocalCounters, name_of
from workers.telegram.presses import Presses
from workers.telegram.rate_limiter import RateLimiter
from workers.telegram.reply_sender import ReplySender

if TYPE_CHECKING:
    from celery import Celery

log = structlog.get_logger(__name__)

DRAIN_SECONDS_MAX = 5.0

SWITCH_SECONDS = 0.001
"""For how long a thread computes while another one wants to. With Python's 5 ms the event loop's answers wait while the
thread that does the jobs ends one and begins the next.
"""


class WorkerProcess:
    """Everything a task reaches for. `owner` names this process in the inbox's claims."""

    def __init__(self, settings: Settings, app: Celery, *, forked: bool) -> None:
        """forked -- it is a prefork pool's child, which runs one task at a time."""
        self.settings = settings
        self.owner = name_of_this_process()
        self.redis = connect_redis(settings)
        pace = pace_of(settings)
        self.inbox = Inbox(self.redis, owner_dead_seconds=pace.owner_dead)
        self.publisher = Publisher(self.redis)
        self.queues = sorted(app.amqp.queues.consume_from)
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
        self.in_flight = InFlight()
        self.round_size = RoundSize()
        self.heartbeat = Heartbeat(
            self.inbox, self.owner, self.in_flight, self._report, self._counts, idle_seconds=pace.beat
        )

    def start(self) -> None:
        self.link.start()
        self.heartbeat.start()
        outbox.listen(lambda: relay.ask(self.redis, self.publisher))
        log.info("Database stability monitoring started", owner=self.owner)

    def stop(self) -> None:
        """Let answers under way go out, then give back what is still held."""
        outbox.listen(None)
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
        finished = self.inbox.finish_many(jobs)
        self.publisher.publish_many([one.following for one in finished if one.following is not None])
        return finished

    def _report(self) -> dict[str, Any]:
        return {
            "name": _node.partition("@")[0],
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


_lock = threading.Lock()
_node = ""  # the worker's name in Celery, `main@host`; its children have it by the fork
_app: Celery | None = None  # workers/celery.py makes it, and connects this module's functions to its signals
_current: WorkerProcess | None = None
_current_pid: int | None = None


def bind(app: Celery) -> None:
    """The application whose tasks this process does."""
    global _app
    _app = app


def current(*, forked: bool = False) -> WorkerProcess:
    """This process's own, made at the first call."""
    global _current, _current_pid
    with _lock:
        if _current is None or _current_pid != os.getpid():
            if _app is None:
                raise RuntimeError("import workers.celery first: it binds the application")
            _current = WorkerProcess(load_settings(), _app, forked=forked)
            _current_pid = os.getpid()
            _current.start()
        return _current


def note_node(sender: str, **_celery: Any) -> None:
    """Celery's `celeryd_init`: before any child is forked."""
    try:
        settings = load_settings()
        require_database(settings)
        bound_bot.require_own(settings)
    except (SettingsError, Refused) as error:
        sys.exit(f"ballast: {error}")
    sys.setswitchinterval(SWITCH_SECONDS)  # the children have it by the fork
    global _node
    _node = sender


def start(**_celery: Any) -> None:
    """Celery's `worker_process_init`: the child is forked, and may be waited for by nobody yet."""
    current(forked=True)


def stop(**_celery: Any) -> None:
    """Celery's `worker_process_shutdown`."""
    if _current is not None and _current_pid == os.getpid():
        _current.stop()
