"""Asks for the task that sends events to EVENTS_URL, right after something was committed that may be one.

ballast:events:asked          string   it was asked for, and did not begin yet; or the receiver does not answer, and is
                                       spared
ballast:events:outage:asked   string   the task that tells of an outage was asked for a moment ago
ballast:events:outage         string   when the outage began whose beginning the receiver took last
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

OUTAGE_TASK = "workers.events.tell_outage"
OUTAGE_QUEUE = "health"
"""Which is consumed while the database is unavailable."""

SPARED_SECONDS = 20
"""After nothing was taken by the receiver."""

_ASKED = "ballast:events:asked"
_OUTAGE_ASKED = "ballast:events:outage:asked"
_OUTAGE_TOLD = "ballast:events:outage"


def ask(client: redis.Redis, publisher: Publisher) -> None:
    """Best effort: each probe asks, too. Raises nothing."""
    try:
        if client.set(_ASKED, 1, nx=True, ex=ASKED_SECONDS):
            publisher.ask(TASK, queue=QUEUE, expires_seconds=60)
    except redis.RedisError as error:
        log.warning("events_not_asked_for", error=type(error).__name__)


def ask_to_tell_outage(client: redis.Redis, publisher: Publisher, began_at: float) -> None:
    """While calls are held back, unless the receiver knows. Raises redis.RedisError."""
    if not outage_is_told(client, began_at) and client.set(_OUTAGE_ASKED, 1, nx=True, ex=ASKED_SECONDS):
        publisher.ask(OUTAGE_TASK, queue=OUTAGE_QUEUE, expires_seconds=ASKED_SECONDS)


def outage_is_told(client: redis.Redis, began_at: float) -> bool:
    """Raises redis.RedisError."""
    return client.get(_OUTAGE_TOLD) == _written(began_at)


def note_outage_told(client: redis.Redis, began_at: float) -> None:
    """Raises redis.RedisError."""
    client.set(_OUTAGE_TOLD, _written(began_at))


def _written(began_at: float) -> bytes:
    return f"{began_at:.3f}".encode()


def begins(client: redis.Redis) -> None:
    """Whatever is committed from here on asks anew. Raises redis.RedisError."""
    client.delete(_ASKED)


def spare(client: redis.Redis) -> None:
    """Nobody asks for a while. Raises redis.RedisError."""
    client.set(_ASKED, 1, ex=SPARED_SECONDS)
