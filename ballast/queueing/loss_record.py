"""How many worker processes one message has cost, in Redis: for the pages, and for the limit in losses.py.

ballast:losses:<message>   string   how often its process was lost, for an hour
ballast:losses             string   the highest such number of late, for a minute
"""

from __future__ import annotations

import hashlib
from typing import cast

import redis

LATELY_SECONDS = 60
_KEPT_SECONDS = 3600
_KEY = "ballast:losses"


def read(client: redis.Redis) -> int:
    """How many processes one message has cost, if that was in the last minute and more than one."""
    found = cast("bytes | None", client.get(_KEY))
    return int(found) if found is not None and found.isdigit() else 0


def count(client: redis.Redis, message_id: str) -> int:
    key = f"{_KEY}:{hashlib.sha256(message_id.encode()).hexdigest()[:32]}"
    with client.pipeline(transaction=True) as pipeline:
        pipeline.incr(key)
        pipeline.expire(key, _KEPT_SECONDS)
        count = int(pipeline.execute()[0])
    if count > 1:
        client.set(_KEY, count, ex=LATELY_SECONDS)
    return count
