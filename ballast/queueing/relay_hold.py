"""Relays wait while a backup copies the inbox and until the database's dump has begun: a row that left the table
`outbox` after the copy and before the dump would be in neither.

    ballast:relay:held      string   there while relays wait; it ends by itself should the backup be killed
    ballast:relay:running   zset     a run -> when it counts as dead, by Redis's clock in seconds

A relay says that it runs before it looks whether it may, and a backup says that they wait before it looks whether one
runs: so one of the two sees the other.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import cast

import redis

from dbcore.redis_client import redis_time

HELD_SECONDS = 300
RUN_DEAD_SECONDS = 60

_HELD = "ballast:relay:held"
_RUNNING = "ballast:relay:running"
_LOOK_SECONDS = 0.05


@contextmanager
def running(client: redis.Redis) -> Iterator[bool]:
    """Whether a relay may run in the block. Raises redis.RedisError."""
    run = uuid.uuid4().hex
    with client.pipeline(transaction=True) as pipeline:
        pipeline.zadd(_RUNNING, {run: redis_time(client) + RUN_DEAD_SECONDS})
        pipeline.exists(_HELD)
        _, is_held = pipeline.execute()
    try:
        yield not is_held
    finally:
        client.zrem(_RUNNING, run)


@contextmanager
def held(client: redis.Redis, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[Callable[[], None]]:
    """None runs in the block. What it gives lets them go on, before its end. Raises redis.RedisError."""
    mine = uuid.uuid4().hex
    client.set(_HELD, mine, ex=HELD_SECONDS)

    def release() -> None:
        if cast("bytes | None", client.get(_HELD)) == mine.encode():
            client.delete(_HELD)

    try:
        while client.zcount(_RUNNING, redis_time(client), "+inf"):
            sleep(_LOOK_SECONDS)
        client.zremrangebyscore(_RUNNING, "-inf", redis_time(client))
        yield release
    finally:
        with suppress(redis.RedisError):  # then it ends by itself
            release()
