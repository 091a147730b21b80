"""What operators ordered on the status page, in Redis, with what came of it: for the page, also while the books are out
of reach, and so that an order that comes twice is obeyed once. The books are the table `admin_actions`.

    ballast:actions:<id>   string   the order as JSON, with its outcome; gone after a week
    ballast:actions        zset     id -> when, of the last ones
"""

from __future__ import annotations

import json
from typing import Any, cast

import redis

from ballast.builtin.status import OperatorAction

QUEUED = "queued"
KEPT = 100
KEPT_SECONDS = 7 * 86_400

_ALL = "ballast:actions"


def note(client: redis.Redis, order: OperatorAction, outcome: str, *, first: bool = False) -> None:
    """first -- only where nothing is noted of it yet. Raises redis.RedisError."""
    record = json.dumps({**order.model_dump(mode="json"), "outcome": outcome})
    with client.pipeline() as pipeline:
        pipeline.set(_key(order.action_id), record, ex=KEPT_SECONDS, nx=first)
        pipeline.zadd(_ALL, {order.action_id: order.at})
        pipeline.zremrangebyrank(_ALL, 0, -KEPT - 1)
        pipeline.execute()


def known(client: redis.Redis, action_id: str) -> dict[str, Any] | None:
    """The order of this id with its `outcome`, where it came before. Raises redis.RedisError."""
    record = cast("bytes | None", client.get(_key(action_id)))
    return None if record is None else cast(dict[str, Any], json.loads(record))


def recent(client: redis.Redis, limit: int) -> list[dict[str, Any]]:
    """The last ones, newest first. Raises redis.RedisError."""
    ids = cast(list[bytes], client.zrange(_ALL, 0, limit - 1, desc=True))
    if not ids:
        return []
    records = cast("list[bytes | None]", client.mget([_key(each.decode()) for each in ids]))
    return [json.loads(record) for record in records if record is not None]


def _key(action_id: str) -> str:
    return f"{_ALL}:{action_id}"
