"""Repairs to kombu's Redis channel and to Celery's request, without which a worker ends that need not.

A Redis restart while a task is in flight: kombu 5.7 closes a channel's connection object before the channel has put
back what it holds; the channel then asks the closed one for its address and gets an AttributeError, which Celery does
not count as a lost connection: it says "Unrecoverable error" and exits. Said as what it is, Celery reconnects.

A message that is no message: kombu and Celery trip over what they cannot take apart, the worker ends, the message goes
back to its queue, and ends the next one. Said as what it is, the message is dropped with a line in the log.

What a task was called with: events, Flower and `celery inspect` show it, and an operator's call carries people's text.
Its arguments' names are enough; a job from the inbox has but its id.
"""

from __future__ import annotations

from queue import Empty
from typing import Any

import redis
import structlog
from celery.app.task import Task as CeleryTask
from celery.exceptions import InvalidTaskError
from celery.worker.request import Request as CeleryRequest
from kombu.transport import redis as kombu_redis

log = structlog.get_logger(__name__)

ARGUMENTS_SHOWN_MAX = 200

_MALFORMED = (ValueError, TypeError, KeyError)


class Channel(kombu_redis.Channel):
    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection is None or getattr(self.connection, "client", None) is None:
            raise redis.ConnectionError("the channel's connection to the broker is closed")
        return super()._connparams(asynchronous)  # type: ignore[no-untyped-call]  # kombu has no types

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]  # kombu has no types
        except _MALFORMED as error:
            log.error("message_dropped", error=type(error).__name__)
            raise Empty from None


class Request(CeleryRequest):
    def __init__(self, message: Any, **options: Any) -> None:
        try:
            super().__init__(message, **options)
            self._argsrepr, self._kwargsrepr = describe(self._args, self._kwargs)
        except (*_MALFORMED, AttributeError) as error:
            raise InvalidTaskError(f"the message cannot be taken apart ({type(error).__name__})") from error

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What Flower shows of a running or waiting task. Celery itself always asks for the arguments' values."""
        found: dict[str, Any] = super().info(safe=True)
        return found


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
