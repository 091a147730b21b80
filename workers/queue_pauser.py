"""The queue pauser: while the fleet's breaker lets nothing through, this worker takes no job that needs the database,
and while an operator paused a queue (ballast/queueing/queue_pauses.py) none of that one. While it is drained
(ballast/queueing/worker_drains.py) it takes none at all, and says once what it had is done.

They wait in Redis, in order, instead of being taken, refused and given back over and over. `replies` and `health` flow
on. A job that was at hand already meets the breaker at once and goes back to the inbox (giving_back.py), from where the
rescuer brings it again once the breaker is closed.

    breaker ──▶ watch (thread, asks Redis) ──▶ a flag ──▶ pauser (worker's event loop) ──▶ which queues are consumed

When it opens again all queues open at once: a prefork pool takes no more jobs at a time than it has children, so the
database meets as many calls as before the outage, however many jobs wait.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection
from typing import Any

import redis
import structlog
from celery import bootsteps
from celery.exceptions import WorkerShutdown
from celery.worker import state

from ballast.process import ownership
from ballast.process.ownership import WrongBot
from ballast.queueing import worker_drains
from ballast.queueing.queue_pauses import PauseReader
from ballast.queueing.queues import DATABASE_QUEUES
from dbcore.breaker import CachedStateReader
from dbcore.redis_pace import RESPONSIVE, RedisPace, pace_of
from dbcore.settings import Settings, load_settings
from workers import parent
from workers.drain_obeyer import DrainObeyer

log = structlog.get_logger(__name__)

TURN_SECONDS = 0.1
"""How often it turns by what the watch saw: this asks nobody."""


class Watch:
    """Knows whether the fleet lets nothing through, without asking whoever wants to know to wait.

    While Redis is away the last answer stands; there are no jobs to take then.
    """

    def __init__(
        self,
        client: redis.Redis,
        pace: RedisPace = RESPONSIVE,
        worker: str = "",
        queues: Collection[str] = DATABASE_QUEUES,
        is_idle: Callable[[], bool] = lambda: True,
    ) -> None:
        """worker -- its name in Celery, and the queues that it consumes. is_idle -- whether this process has no
        message in hand, nor its children.
        """
        self._pace = pace
        self._queues = frozenset(queues)
        self._drain = DrainObeyer(client, worker, is_idle, pace)
        self._state_reader = CachedStateReader(client)
        self._pause_reader = PauseReader(client)
        self.shut: frozenset[str] = frozenset()
        """Queues of which this worker takes no job."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="queue-pauser", daemon=True)

    def start(self) -> None:
        self.look()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=5)

    def look(self) -> None:
        try:
            paused = frozenset(self._pause_reader.read())
            shut = frozenset(DATABASE_QUEUES) if self._state_reader.read().is_open else paused
            self.shut = self._queues if self._drain.look() else shut
        except redis.RedisError as error:
            log.debug("queue_pauser_without_redis", error=type(error).__name__)
        except Exception:  # the edge of a thread: without it the queues would stay as it is forever
            log.exception("queue_pauser_failed")

    def pause(self) -> float:
        """Until the next look, in seconds: short while it is shut, for then people wait."""
        return self._pace.near if self.shut and not self._drain.is_done else self._pace.pauser

    def _run(self) -> None:
        while not self._stopped.wait(self.pause()):
            self.look()


def _refuse_anothers_redis(settings: Settings) -> None:
    """Ends the worker before it takes a message of another bot."""
    try:
        ownership.claim(parent.redis_client(), settings)
    except WrongBot as error:
        print(f"ballast: {error}", file=sys.stderr, flush=True)
        raise WorkerShutdown(1) from error


def _has_no_message() -> bool:
    return not state.reserved_requests and not state.active_requests


class QueuePauserStep(bootsteps.StartStopStep):
    """In the worker's consumer, which is stopped and started again with each connection to Redis."""

    # After the step that makes the consumer, and before the first message is taken.
    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._closed: list[str] = []  # outlives a connection: Celery goes on without these queues then
        self._queues: tuple[str, ...] = ()
        self._watch: Watch | None = None
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        settings = load_settings()
        if settings.telegram_bot_token is None and "replies" in consumer.app.amqp.queues.consume_from:
            consumer.cancel_task_queue(
                "replies"
            )  # or answers would wander between us and those who can send them
            log.warning("replies_left_to_others", meaning="this worker has no TELEGRAM_BOT_TOKEN")
        _refuse_anothers_redis(settings)
        if self._watch is None:  # not with each connection to Redis
            worker_drains.resume(parent.redis_client(), consumer.hostname)
            self._queues = tuple(consumer.app.amqp.queues.consume_from)
            consumer.app.contexts.note_queues(self._queues)
        self._watch = Watch(
            parent.redis_client(), pace_of(settings), consumer.hostname, self._queues, _has_no_message
        )
        self._watch.start()
        self._turn(consumer)
        self._timer = consumer.timer.call_repeatedly(TURN_SECONDS, self._turn, (consumer,))

    def stop(self, consumer: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._watch is not None:
            self._watch.stop()

    def _turn(self, consumer: Any) -> None:
        assert self._watch is not None  # noqa: S101  start() made it
        # A queue that is opened is asked for only once Redis has answered for the others.
        ordinary = consumer.connection.transport.brpop_timeout
        consumer.task_consumer.channel.brpop_timeout = self._watch.pause() if self._watch.shut else ordinary
        shut = self._watch.shut
        consumed = consumer.app.amqp.queues.consume_from
        flowing = [name for name in self._queues if name in shut and name in consumed]
        for name in flowing:
            self._closed.append(name)  # first: should the connection go in between, it is closed all the same
            consumer.cancel_task_queue(name)
        if flowing:
            log.warning("queues_paused", formerly="valve_closed", queues=flowing)
        opened = [name for name in self._closed if name not in shut]
        for name in opened:
            consumer.add_task_queue(name)
            self._closed.remove(name)
        if opened:
            log.warning("queues_resumed", formerly="valve_opened", queues=opened)
