"""Asks for the task that sends events to EVENTS_URL, right after something was committed that may be one.

ballast:events:asked   string   it was asked for, and did not begin yet; or the receiver does not answer, and is spared
"""

from __future__ import annotations

import redis
import structlog

from ballast.inbox import Publisher

log = structlog.get_logger(__name__)

TASK = "workers.events.send"
QUEUE = "broadcasts"
"""Not those of commands and answers: a slow receiver keeps the worker waiting for some seconds."""

ASKED_SECONDS = 5
"""However many commits, it is asked for once until it begins, and anew after so long: a message may be lost."""

SPARED_SECONDS = 20
"""After nothing was taken by the receiver."""

_ASKED = "ballast:events:asked"


def ask(client: redis.Redis, publisher: Publisher) -> None:
    """Best effort: each probe asks, too. Raises nothing."""
    try:
        if client.set(_ASKED, 1, nx=True, ex=ASKED_SECONDS):
            publisher.ask(TASK, queue=QUEUE, expires_seconds=60)
    except redis.RedisError as error:
        log.warning("events_not_asked_for", error=type(error).__name__)


def begins(client: redis.Redis) -> None:
    """Whatever is committed from here on asks anew. Raises redis.RedisError."""
    client.delete(_ASKED)


def spare(client: redis.Redis) -> None:
    """Nobody asks for a while. Raises redis.RedisError."""
    client.set(_ASKED, 1, ex=SPARED_SECONDS)
