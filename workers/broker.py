"""Repairs to kombu's Redis channel and to Celery's request and consumer, without which a worker ends that need not.

A Redis restart while a task is in flight: kombu 5.7 closes a channel's connection object before the channel has put
back what it holds; the channel then asks the closed one for its address and gets an AttributeError, which Celery does
not count as a lost connection: it says "Unrecoverable error" and exits. Said as what it is, Celery reconnects.

A message that is no message: kombu and Celery trip over what they cannot take apart, the worker ends, the message goes
back to its queue, and ends the next one. Here it is dropped, also from `unacked`, with a line in the log that says
nothing of its contents, for they may be people's.

A Redis that refuses writes: Celery connects, fails to write, and connects again without closing what it had, a dozen
connections per second and worker. Here each attempt closes what it opened, and the next one waits a second.

A Redis out of memory: kombu could neither hand on a message nor note that it took one, so no job on record would be
finished, and that is what frees memory.

What a task was called with: events, Flower and `celery inspect` show it, and an operator's call carries people's text.
Its arguments' names are enough; a job from the inbox has but its id.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from queue import Empty
from typing import Any

import redis
import structlog
from celery import signals
from celery.app.task import Task as CeleryTask
from celery.exceptions import InvalidTaskError
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.request import Request as CeleryRequest
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps

from dbcore.redis_client import FIRST_WRITE_LUA
from dbcore.redis_pace import pace_of
from dbcore.settings import load_settings

log = structlog.get_logger(__name__)

ARGUMENTS_SHOWN_MAX = 200

ETA_SECONDS_MAX = 600.0
"""How far ahead a message may be due. Celery keeps it in a worker's memory until then, and Redis hands it to another
worker after as long (`visibility_timeout`): what is due later would be handed about for good."""

REFUSED_PAUSE_SECONDS = 1.0

_MALFORMED = (ValueError, TypeError, KeyError, AttributeError)


class Message(virtual.Message):
    """Refuses what kombu could keep but Celery could not take apart."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **options)  # type: ignore[no-untyped-call]  # kombu has no types
        except AttributeError as error:  # such as a body_encoding that nobody knows
            raise ValueError("the message cannot be decoded") from error
        if not isinstance(self.delivery_tag, str):
            raise TypeError("the message's delivery tag is no string")


_PUT = f"{FIRST_WRITE_LUA} return first_write('LPUSH', KEYS[1], ARGV[1])"
_APPEND = f"""{FIRST_WRITE_LUA}
first_write('ZADD', KEYS[1], ARGV[1], ARGV[2])
return redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
"""


class QoS(kombu_redis.QoS):
    def append(self, message: Any, delivery_tag: str) -> None:
        delivery = message.delivery_info
        raw = dumps([message._raw, delivery["exchange"], delivery["routing_key"]])  # type: ignore[no-untyped-call]
        with self.channel.conn_or_acquire() as client:
            script = client.register_script(_APPEND)
            script(keys=[self.unacked_index_key, self.unacked_key], args=[time.time(), delivery_tag, raw])
        super(kombu_redis.QoS, self).append(message, delivery_tag)  # type: ignore[no-untyped-call]

    def restore_visible(self, *arguments: Any, **options: Any) -> None:
        try:
            super().restore_visible(*arguments, **options)  # type: ignore[no-untyped-call]  # kombu has no types
        except redis.OutOfMemoryError:
            log.warning("unacked_not_looked_at", why="Redis is out of memory")


class Channel(kombu_redis.Channel):
    Message = Message
    QoS = QoS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]  # kombu has no types
        # It asked Redis for a sign of life by a connection that only consumers go on to use, and they open it again.
        self.async_pool.disconnect(inuse_connections=False)

    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection is None or getattr(self.connection, "client", None) is None:
            raise redis.ConnectionError("the channel's connection to the broker is closed")
        return super()._connparams(asynchronous)  # type: ignore[no-untyped-call]  # kombu has no types

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]  # kombu has no types
        except _MALFORMED as error:
            _tell_dropped(error)
            raise Empty from None

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        key = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))  # type: ignore[no-untyped-call]
        with self.conn_or_acquire() as client:
            client.register_script(_PUT)(keys=[key], args=[dumps(message)])  # type: ignore[no-untyped-call]

    def _queue_bind(self, *arguments: Any, **options: Any) -> None:
        try:
            super()._queue_bind(*arguments, **options)  # type: ignore[no-untyped-call]  # kombu has no types
        except redis.OutOfMemoryError:
            log.warning("queue_not_bound", why="Redis is out of memory")  # it was, when it was first used

    def _deliver_fanout_message(self, message: Any, exchange: Any) -> None:
        try:
            super()._deliver_fanout_message(message, exchange)  # type: ignore[no-untyped-call]  # kombu has no types
        except _MALFORMED as error:
            _tell_dropped(error)

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], Any], *arguments: Any, **options: Any
    ) -> None:
        def receive(message: Any) -> Any:
            try:
                return callback(message)
            except _MALFORMED as error:
                _tell_dropped(error)
                if not no_ack:
                    message.reject()  # it is in `unacked` by now, and would come back from there
                return None

        super().basic_consume(queue, no_ack, receive, *arguments, **options)  # type: ignore[no-untyped-call]  # as above


def _tell_dropped(error: Exception) -> None:
    log.error("message_dropped", error=type(error).__name__)


class Request(CeleryRequest):
    def __init__(self, message: Any, **options: Any) -> None:
        try:
            super().__init__(message, **options)
            self._argsrepr, self._kwargsrepr = describe(self._args, self._kwargs)
            ahead = (self._eta - datetime.now(UTC)).total_seconds() if self._eta else 0.0
        except (*_MALFORMED, OverflowError) as error:
            raise InvalidTaskError(f"the message cannot be taken apart ({type(error).__name__})") from error
        if not isinstance(self.id, str):
            raise InvalidTaskError("its id is no string")
        if ahead > ETA_SECONDS_MAX:
            raise InvalidTaskError(f"it is due more than {ETA_SECONDS_MAX:.0f} s ahead")

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What Flower shows of a running or waiting task. Celery itself always asks for the arguments' values."""
        found: dict[str, Any] = super().info(safe=True)
        return found


class Consumer(CeleryConsumer):
    """What takes messages in a worker's parent."""

    def __init__(self, *arguments: Any, worker_options: Any = None, **options: Any) -> None:
        # Workers know of each other by the inbox. Celery's own ways cost connections and messages for nothing.
        pace = pace_of(load_settings())
        apart = {"without_gossip": True, "without_mingle": True, "heartbeat_interval": pace.events}
        super().__init__(*arguments, worker_options={**(worker_options or {}), **apart}, **options)

    def connect(self) -> Any:
        connection = self.connection_for_read(heartbeat=self.amqheartbeat)
        try:
            if self.hub:
                connection.transport.register_with_event_loop(connection.connection, self.hub)
        except Exception:
            connection.close()
            time.sleep(REFUSED_PAUSE_SECONDS)
            raise
        return connection

    # Celery logs the whole message in each of these.

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self._reject(message, "unknown_format")
        signals.task_rejected.send(sender=self, message=message, exc=None)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._reject(message, "unknown_task")
        name, job_id = (_shown(message.headers.get(field)) for field in ("task", "id"))
        signals.task_unknown.send(sender=self, message=message, exc=exc, name=name, id=job_id)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        # Celery's own objections quote the value; ours do not.
        ours = isinstance(exc, InvalidTaskError) and not str(exc).startswith("invalid ")
        self._reject(message, str(exc) if ours else type(exc).__name__)
        signals.task_rejected.send(sender=self, message=message, exc=exc)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._reject(message, type(exc).__name__)

    def _reject(self, message: Any, why: str) -> None:
        headers = message.headers if isinstance(message.headers, dict) else {}
        log.error(
            "message_refused", why=why, task=_shown(headers.get("task")), job_id=_shown(headers.get("id"))
        )
        message.reject_log_error(log, self.connection_errors)


def _shown(value: Any) -> str | None:
    return value[:ARGUMENTS_SHOWN_MAX] if isinstance(value, str) else None


def describe(positional: Any, named: Any) -> tuple[str, str]:
    """What may be shown of a task's arguments: how many, and the names."""
    count = f"{len(positional)} positional" if positional else ""
    return count, ", ".join(map(str, named))[:ARGUMENTS_SHOWN_MAX]


class Task(CeleryTask):
    """What all tasks of the app are."""

    Request = "workers.broker:Request"


def repair() -> None:
    """Have every connection of this process make its channels of the repaired kind."""
    kombu_redis.Transport.Channel = Channel
