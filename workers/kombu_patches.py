"""Repairs to kombu's Redis channel and to Celery's request and consumer, without which a worker ends that need not.

A Redis restart while a task is in flight: kombu 5.7 closes a channel's connection object before the channel has put
back what it holds; the channel then asks the closed one for its address and gets an AttributeError, which Celery does
not count as a lost connection: it says "Unrecoverable error" and exits. Said as what it is, Celery reconnects.

A message that is no message: kombu and Celery trip over what they cannot take apart, the worker ends, the message goes
back to its queue, and ends the next one. Here it is dropped, also from `unacked`, with a line in the log that says
nothing of its contents, for they may be people's. Whatever exception comes while a message is read, only those of the
connection go further. Of a task's headers only those are kept that our tasks need, because Celery acts on the others
without checking them.

A message that ends the child that works on it, again and again: Celery puts it back without a limit. Here it is counted
(losses.py), and ends as a failed job.

A Redis that refuses writes: Celery connects, fails to write, and connects again without closing what it had, a dozen
connections per second and worker. Here each attempt closes what it opened, and the next one waits a second.

A Redis out of memory: kombu could neither hand on a message nor note that it took one, so no job on record would be
finished, and that is what frees memory.

What a task was called with: events, Flower and `celery inspect` show it, and an operator's call carries people's text.
Its arguments' names are enough; a job from the inbox has but its id.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from queue import Empty
from typing import Any

import redis
import structlog
from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import signals
from celery.app.task import Task as CeleryTask
from celery.concurrency import prefork
from celery.exceptions import InvalidTaskError
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.request import Request as CeleryRequest
from kombu.exceptions import ContentDisallowed, DecodeError, InconsistencyError, OperationalError
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps

from ballast.inbox.publisher import BEARERS_MARK
from ballast.inbox.records import CarriedClaim
from dbcore.redis_client import FIRST_WRITE_LUA
from dbcore.redis_pace import pace_of
from dbcore.settings import load_settings
from workers import losses, pool, remote_control
from workers.remote_control import ID_LENGTH_MAX, are_limits, is_id

log = structlog.get_logger(__name__)

ARGUMENTS_SHOWN_MAX = 200

ETA_SECONDS_MAX = 600.0
"""How far ahead a message may be due. Celery keeps it in a worker's memory until then, and Redis hands it to another
worker after as long (`visibility_timeout`): what is due later would be handed about for good."""

REFUSED_PAUSE_SECONDS = 1.0

EVENTS_SECONDS = 0.5
"""How much later than it happened Flower hears of what a task did."""

BODY_LENGTH_MAX = 1_000_000
"""Characters. The largest that is ours, a broadcast's text with its buttons, has some 20,000."""

DEPTH_MAX = 32
"""Lists and objects within each other in a body. Ours have some five; what is very deep cannot be handed to a child."""

CLOCK_MAX = 2**63 - 1

_OF_A_JOB = "job_id, place"
"""The arguments that a job's message has, as `describe` shows them."""

_HEADERS = frozenset({"lang", "task", "id", "eta", "expires", "timelimit", "place", "claim"})

_OF_THE_CONNECTION = (Empty, redis.RedisError, OSError, OperationalError, InconsistencyError)
"""What Celery answers by connecting again, or passes over. Of these, reading a message raises DataError alone."""


class Message(virtual.Message):
    """Refuses what kombu could keep but Celery could not take apart."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        if len(payload.get("body") or "") > BODY_LENGTH_MAX:
            raise ValueError("the message's body is too long")
        if (payload.get("content-type"), payload.get("content-encoding")) != ("application/json", "utf-8"):
            # Kombu trusts other types too, and would take any codec of Python's, some of which unpack.
            raise ValueError("the message is no JSON in UTF-8")
        if (payload.get("headers") or {}).get("compression"):
            raise ValueError(
                "the message is compressed: nothing of ours is, and a few bytes could unpack to gigabytes"
            )
        try:
            super().__init__(payload, channel=channel, **options)  # type: ignore[no-untyped-call]  # kombu has no types
        except AttributeError as error:  # such as a body_encoding that nobody knows
            raise ValueError("the message cannot be decoded") from error
        # By these it is put back into its queue, and looked up in `unacked`.
        addresses = (
            self.delivery_tag,
            *(self.delivery_info.get(name, "") for name in ("exchange", "routing_key")),
        )
        if not all(isinstance(address, str) for address in addresses):
            raise TypeError("the message's delivery tag, exchange or routing key is no string")
        clock = self.headers.get("clock")
        # Whoever reads workers' answers, such as Flower, sets its own clock by it, and sends that with all it says.
        if clock is not None and not (type(clock) is int and 0 <= clock <= CLOCK_MAX):
            raise ValueError("the message's clock is no whole number")

    def _decode(self) -> Any:
        try:
            return super()._decode()  # type: ignore[no-untyped-call]  # kombu has no types
        except (ContentDisallowed, DecodeError):
            raise
        except Exception as error:  # a codec's own, such as InvalidOperation
            raise DecodeError("the message's body cannot be decoded") from error


_PUT = f"{FIRST_WRITE_LUA} return first_write('LPUSH', KEYS[1], ARGV[1])"
_PUT_BACK = f"{FIRST_WRITE_LUA} for i, queue in ipairs(KEYS) do first_write('RPUSH', queue, ARGV[i]) end"
_APPEND = f"""{FIRST_WRITE_LUA}
first_write('ZADD', KEYS[1], ARGV[1], ARGV[2])
return redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
"""


class QoS(kombu_redis.QoS):
    """Keeps no copy of the inbox's messages: each only says that a job waits, and the rescuer would say it again."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]  # kombu has no types
        self._only_here: dict[str, Any] = {}

    def append(self, message: Any, delivery_tag: str) -> None:
        if _is_the_inboxs(message):
            self._only_here[delivery_tag] = message
            super(kombu_redis.QoS, self).append(message, delivery_tag)  # type: ignore[no-untyped-call]
            return
        delivery = message.delivery_info
        raw = dumps([message._raw, delivery["exchange"], delivery["routing_key"]])  # type: ignore[no-untyped-call]
        with self.channel.conn_or_acquire() as client:
            script = client.register_script(_APPEND)
            script(keys=[self.unacked_index_key, self.unacked_key], args=[time.time(), delivery_tag, raw])
        super(kombu_redis.QoS, self).append(message, delivery_tag)  # type: ignore[no-untyped-call]

    def ack(self, delivery_tag: str) -> None:
        if self._only_here.pop(delivery_tag, None) is None:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        else:
            super(kombu_redis.QoS, self).ack(delivery_tag)  # type: ignore[no-untyped-call]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        message = self._only_here.get(delivery_tag)
        if message is None:
            super().reject(delivery_tag, requeue=requeue)  # type: ignore[no-untyped-call]
            return
        if requeue:
            self._put_back([message])
        self.ack(delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        messages = [*self._only_here.values()]
        for tag in self._only_here:
            self._delivered.pop(tag, None)
        self._only_here.clear()
        try:
            self._put_back(messages)
        finally:
            super().restore_unacked(client)  # type: ignore[no-untyped-call]

    def _put_back(self, messages: Sequence[Any]) -> None:
        """As the next ones of their queues, in the order in which they were taken. They bear no claim any more: a
        process may have taken the job over with the message, and be at work on it.
        """
        if not messages:
            return
        with self.channel.conn_or_acquire() as client:
            client.register_script(_PUT_BACK)(
                keys=[message.delivery_info["routing_key"] for message in reversed(messages)],
                args=[dumps(_without_claim(message._raw)) for message in reversed(messages)],  # type: ignore[no-untyped-call]
            )

    def restore_visible(self, *arguments: Any, **options: Any) -> None:
        try:
            super().restore_visible(*arguments, **options)  # type: ignore[no-untyped-call]  # kombu has no types
        except redis.OutOfMemoryError:
            log.warning("unacked_not_looked_at", why="Redis is out of memory")


def _is_the_inboxs(message: Any) -> bool:
    return "place" in message.headers


def _without_claim(raw: dict[str, Any]) -> dict[str, Any]:
    sequence = raw["headers"]["place"]
    if not isinstance(sequence, str):
        return raw
    return {**raw, "headers": {**raw["headers"], "place": sequence.removesuffix(BEARERS_MARK), "claim": None}}


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
        except Exception as error:  # noqa: BLE001  # whatever a message holds must not end the worker
            _drop(error)
            raise Empty from None

    def _receive_one(self, *arguments: Any) -> Any:
        try:
            return super()._receive_one(*arguments)  # type: ignore[no-untyped-call]  # kombu has no types
        except Empty:  # kombu could not read it
            log.error("message_dropped", error="ValueError")
            raise
        except Exception as error:  # noqa: BLE001  # the same for a command
            _drop(error)
            return None

    def _put(self, queue: str, message: Any, _publish_batch: Any = None, **options: Any) -> None:
        key = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))  # type: ignore[no-untyped-call]
        if _publish_batch is not None:
            _publish_batch.add("eval", _PUT, 1, key, dumps(message))  # type: ignore[no-untyped-call]
            return
        with self.conn_or_acquire() as client:
            client.register_script(_PUT)(keys=[key], args=[dumps(message)])  # type: ignore[no-untyped-call]

    def _queue_bind(self, *arguments: Any, **options: Any) -> None:
        try:
            super()._queue_bind(*arguments, **options)  # type: ignore[no-untyped-call]  # kombu has no types
        except redis.OutOfMemoryError:
            log.warning("queue_not_bound", why="Redis is out of memory")  # it was, when it was first used

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], Any], *arguments: Any, **options: Any
    ) -> None:
        def receive(message: Any) -> Any:
            try:
                return callback(message)
            except Exception as error:  # noqa: BLE001  # as above
                _drop(error)
                if not no_ack and not message.acknowledged:
                    message.reject()  # it is in `unacked` by now, and would come back from there
                return None

        super().basic_consume(queue, no_ack, receive, *arguments, **options)  # type: ignore[no-untyped-call]  # as above


def _without_contents(record: logging.LogRecord) -> bool:
    """Whether a line of kombu's may be logged: not the one that quotes a message which is no JSON."""
    return not str(record.msg).startswith("Cannot process event")


def _drop(error: Exception) -> None:
    """Log that a message is dropped. Raises what is the connection's."""
    if isinstance(error, _OF_THE_CONNECTION) and not isinstance(error, redis.DataError):
        raise error
    log.error("message_dropped", error=type(error).__name__)


class Request(CeleryRequest):
    _lost_by: str | None = None
    """What ended the process that worked on it, where something did."""

    def __init__(self, message: Any, *, headers: Any = None, **options: Any) -> None:
        try:
            ours = {name: value for name, value in (headers or message.headers).items() if name in _HEADERS}
            if CarriedClaim.read(ours.get("claim")) is None:
                ours.pop("claim", None)
            super().__init__(message, headers=ours, **options)
            self._argsrepr, self._kwargsrepr = describe(self._args, self._kwargs)
            now = datetime.now(UTC)
            ahead = (self._eta - now).total_seconds() if self._eta else 0.0
            _ = self._expires and self._expires - now  # raises where the two cannot be compared
            embed = self._payload[2]
        except (ContentDisallowed, DecodeError):
            raise
        except Exception as error:  # Celery checks little of what it takes apart
            raise InvalidTaskError(f"the message cannot be taken apart ({type(error).__name__})") from error
        if _is_deeper(self._payload, DEPTH_MAX):
            raise InvalidTaskError(f"its body is nested more than {DEPTH_MAX} deep")
        if not is_id(self.id):
            raise InvalidTaskError(f"its id is not 1 to {ID_LENGTH_MAX} printable characters")
        if not are_limits(ours.get("timelimit")):
            raise InvalidTaskError("its time limits are not two positive numbers")
        if embed is not None and (not isinstance(embed, dict) or any(embed.values())):
            raise InvalidTaskError("it has callbacks, and nothing of ours has")
        if ahead > ETA_SECONDS_MAX:
            raise InvalidTaskError(f"it is due more than {ETA_SECONDS_MAX:.0f} s ahead")

    def on_timeout(self, soft: bool, timeout: float) -> None:
        if not soft:
            self._lost_by = "a time limit"
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, *arguments: Any, **options: Any) -> Any:
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, TimeLimitExceeded):
            self._lost_by = "a time limit"
        elif isinstance(error, WorkerLostError | SystemExit):
            self._lost_by = "a signal, or its own end"
        return super().on_failure(exc_info, *arguments, **options)

    def reject(self, requeue: bool = False) -> None:
        if requeue and not self.acknowledged and self._lost_by is not None:
            requeue = not losses.note(self.id, self._type, self._kwargs, self._lost_by)
        super().reject(requeue=requeue)

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What Flower shows of a running or waiting task. Celery itself always asks for the arguments' values."""
        found: dict[str, Any] = super().info(safe=True)
        return found


class Consumer(CeleryConsumer):
    """What takes messages in a worker's parent."""

    _events_wait = False

    def __init__(self, *arguments: Any, worker_options: Any = None, **options: Any) -> None:
        # Workers know of each other by the inbox. Celery's own ways cost connections and messages for nothing.
        pace = pace_of(load_settings())
        apart = {"without_gossip": True, "without_mingle": True, "heartbeat_interval": pace.events}
        super().__init__(*arguments, worker_options={**(worker_options or {}), **apart}, **options)
        pool.AsynPool.on_done_directly = self._tell_of

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

    def on_send_event_buffered(self) -> None:
        """Events go out some at a time. Celery sends each by itself, before it hands its job to a child."""
        if self.hub and not self._events_wait:
            self._events_wait = True
            self.hub.call_later(EVENTS_SECONDS, self._send_events)

    def _send_events(self) -> None:
        self._events_wait = False
        self._flush_events()

    def _tell_of(self, done: Sequence[pool.Done]) -> None:
        """Tell of jobs that a child did without a message, as Celery does of its tasks."""
        for job in done:
            state.total_count[job.task] += 1
            if self.event_dispatcher is None:  # there is no connection
                continue
            send = partial(self.event_dispatcher.send, uuid=job.job_id)
            send(
                "task-received",
                name=job.task,
                args="",
                kwargs=_OF_A_JOB,
                root_id=job.job_id,
                parent_id=None,
                retries=0,
                eta=None,
                expires=None,
                timestamp=job.at,
            )
            send("task-started", timestamp=job.at)
            send("task-succeeded", result="None", runtime=job.seconds, timestamp=job.at + job.seconds)

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


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list | tuple):
        return False
    within = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in within)


def _shown(value: Any) -> str | None:
    return value[:ARGUMENTS_SHOWN_MAX] if isinstance(value, str) else None


def describe(positional: Any, named: Any) -> tuple[str, str]:
    """What may be shown of a task's arguments: how many, and the names."""
    count = f"{len(positional)} positional" if positional else ""
    return count, ", ".join(map(str, named))[:ARGUMENTS_SHOWN_MAX]


class Task(CeleryTask):
    """What all tasks of the app are."""

    Request = "workers.kombu_patches:Request"


def install() -> None:
    """Have every connection of this process make its channels of the repaired kind."""
    kombu_redis.Transport.Channel = Channel
    prefork.TaskPool.Pool = pool.AsynPool
    remote_control.repair()
    logging.getLogger(kombu_redis.__name__).addFilter(_without_contents)
