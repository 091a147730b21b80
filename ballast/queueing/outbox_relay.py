"""Asks for the relay (workers/relay.py), which takes from the table `outbox` what was committed there.

ballast:outbox:asked   string   it was asked for, and did not begin yet
"""

from __future__ import annotations

import redis
import structlog

from ballast.inbox import Publisher
from dbcore import jobs_waiting
from dbcore.redis_client import connect_redis
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

TASK = "workers.health.relay"

ASKED_SECONDS = 5
"""However many commits, it is asked for once until it begins, and anew after so long: a message may be lost."""

_ASKED = "ballast:outbox:asked"


def ask(client: redis.Redis, publisher: Publisher) -> None:
    """Have a worker run the relay at once. Best effort: it comes by itself with the next probe. Raises nothing."""
    try:
        if client.set(_ASKED, 1, nx=True, ex=ASKED_SECONDS):
            publisher.ask(TASK, queue="health", expires_seconds=60)
    except redis.RedisError as error:
        log.warning("relay_not_asked_for", error=type(error).__name__)


def ask_after_commit(client: redis.Redis, publisher: Publisher) -> None:
    """The same, by a process that is no worker and knows that jobs were committed. Raises nothing."""
    try:
        jobs_waiting.tell(client)
    except redis.RedisError as error:
        log.warning("relay_not_asked_for", error=type(error).__name__)
        return
    ask(client, publisher)


def ask_from_outside(settings: Settings) -> None:
    """The same, by a command of the shell. Raises nothing."""
    with connect_redis(settings) as client:
        ask_after_commit(client, Publisher(client))


def begins(client: redis.Redis) -> None:
    """The relay does: whatever is committed from here on asks for it anew. Raises redis.RedisError."""
    client.delete(_ASKED)
