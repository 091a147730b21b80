"""Why jobs failed that are open, as a worker counted them after the last failures: for alarms, which ask Redis alone.

ballast:failed_causes        string   as JSON: the most frequent causes, each with kind, cause and count; for a day
ballast:failed_causes:fresh  string   there while they were counted just now
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import cast

import redis

from dbcore.failed_operations import Cause

SHOWN_MAX = 3
FRESH_MS = 2_000
"""However many jobs fail, they are counted no more often."""

_KEEP_SECONDS = 86_400
_KEY = "ballast:failed_causes"


def note(client: redis.Redis, count: Callable[[], Iterable[Cause]]) -> None:
    """Count them, unless somebody did just now. Raises redis.RedisError, and what `count` does."""
    if client.set(f"{_KEY}:fresh", 1, nx=True, px=FRESH_MS):
        found = [(each.kind, each.cause, each.count) for each in count()]
        client.set(_KEY, json.dumps(found), ex=_KEEP_SECONDS)


def read(client: redis.Redis) -> list[tuple[str, str, int]]:
    """Kind, cause and count of each, the most frequent first. Raises redis.RedisError."""
    kept = cast("bytes | None", client.get(_KEY))
    return (
        []
        if kept is None
        else [(str(kind), str(cause), int(count)) for kind, cause, count in json.loads(kept)]
    )
