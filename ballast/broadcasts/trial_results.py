"""What became of test sends, in Redis: for the page that ordered them.

ballast:broadcast:<id>:trials   hash   admin's Telegram id -> as JSON: order, which one; sent, or null until it ended;
                                       error, why not. For a day.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import cast

import redis

KEPT_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class TrialResult:
    """order -- by which it is known. sent -- None while nobody knows. error -- why Telegram did not take it."""

    order: str
    sent: bool | None = None
    error: str | None = None


def put(client: redis.Redis, broadcast_id: int, admin_id: int, result: TrialResult) -> None:
    """Raises redis.RedisError."""
    with client.pipeline() as pipeline:
        pipeline.hset(_key(broadcast_id), str(admin_id), json.dumps(asdict(result)))
        pipeline.expire(_key(broadcast_id), KEPT_SECONDS)
        pipeline.execute()


def end(client: redis.Redis, broadcast_id: int, admin_id: int, order: str, error: str | None) -> None:
    """Unless another one was ordered since. Raises redis.RedisError."""
    known = read(client, broadcast_id).get(admin_id)
    if known is not None and known.order == order:
        put(client, broadcast_id, admin_id, TrialResult(order, error is None, error))


def read(client: redis.Redis, broadcast_id: int) -> dict[int, TrialResult]:
    """By admin. Raises redis.RedisError."""
    found = cast("dict[bytes, bytes]", client.hgetall(_key(broadcast_id)))
    return {int(admin): TrialResult(**json.loads(kept)) for admin, kept in found.items()}


def _key(broadcast_id: int) -> str:
    return f"ballast:broadcast:{broadcast_id}:trials"
