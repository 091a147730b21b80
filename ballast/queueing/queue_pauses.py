"""Queues that an operator paused: no worker takes their jobs, which wait in Redis in order, until they are resumed.

Beside the breaker's own pause (workers/queue_pauser.py), and as it does: whoever waits is told, and nothing is lost.

    ballast:queues:paused   hash   queue -> as JSON: by, whom; at, since when, seconds since 1970 by Redis's clock
    ballast:queues:resumed  hash   queue -> when it last was, ms: what waited meanwhile is not overdue
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import cast

import redis

from ballast.queueing.queues import DATABASE_QUEUES
from dbcore.redis_client import redis_time

PAUSABLE = DATABASE_QUEUES
"""Not those by which people are answered and the fleet looked after."""

READ_EVERY_SECONDS = 3.0
"""While none is paused."""

PAUSED = "ballast:queues:paused"
_RESUMED = "ballast:queues:resumed"


@dataclass(frozen=True, slots=True)
class QueuePause:
    """by -- who paused it. at -- when, seconds since 1970."""

    by: str
    at: float


def pause(client: redis.Redis, queue: str, by: str) -> None:
    """Every worker knows within four seconds. One that is paused stays as it is. Raises redis.RedisError."""
    if queue not in PAUSABLE:
        raise ValueError(f"queue: expected one of {', '.join(PAUSABLE)}; got {queue!r}")
    client.hsetnx(PAUSED, queue, json.dumps({"by": by, "at": redis_time(client)}))


def resume(client: redis.Redis, queue: str) -> None:
    """One that is not paused stays as it is. Raises redis.RedisError."""
    if client.hdel(PAUSED, queue):
        client.hset(_RESUMED, queue, int(1000 * redis_time(client)))


class PauseReader:
    """For whoever looks again and again: an idle fleet asks Redis little, and what is paused is resumed at once."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._last: dict[str, QueuePause] = {}
        self._read_at = float("-inf")

    def read(self) -> dict[str, QueuePause]:
        """By queue, at most READ_EVERY_SECONDS old. Raises redis.RedisError."""
        if self._last or time.monotonic() - self._read_at >= READ_EVERY_SECONDS:
            self._last = read(self._redis)
            self._read_at = time.monotonic()
        return self._last


def read(client: redis.Redis) -> dict[str, QueuePause]:
    """By queue. Raises redis.RedisError."""
    found = cast(dict[bytes, bytes], client.hgetall(PAUSED))
    return {queue.decode(): QueuePause(**json.loads(kept)) for queue, kept in sorted(found.items())}
