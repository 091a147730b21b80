"""What stands now and needs the admins, as whoever is on watch remembers it in Redis, and the pages show it.

ballast:alarms        hash   condition -> the event as JSON: its id, since when, whether told, what to say after
ballast:alarms:over   hash   condition -> as JSON: id: the event's; texts: what to say after, by language
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import cast

import redis

KEY = "ballast:alarms"
_OVER = "ballast:alarms:over"


@dataclass(frozen=True, slots=True)
class Event:
    """A condition from when it was first seen. since -- by Redis's clock."""

    id: str
    since: float
    told: bool = False
    over: str | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def read(client: redis.Redis) -> dict[str, Event]:
    """By the condition's name. Raises redis.RedisError."""
    found = cast(dict[bytes, bytes], client.hgetall(KEY))
    return {name.decode(): Event(**json.loads(event)) for name, event in found.items()}


def note_told(client: redis.Redis, name: str, event: Event, over: Mapping[str, str]) -> None:
    """over -- what to say after, by language. Raises redis.RedisError."""
    with client.pipeline() as pipeline:
        pipeline.hset(KEY, name, event.to_json())
        pipeline.hset(_OVER, name, json.dumps({"id": event.id, "texts": dict(over)}))
        pipeline.execute()


def over(client: redis.Redis, name: str, event: Event) -> dict[str, str]:
    """Nothing of an event that the release before told: what may stand there is of one before, which that release
    ended. Raises redis.RedisError.
    """
    found = cast("bytes | None", client.hget(_OVER, name))
    kept = json.loads(found) if found else {}
    return dict(kept["texts"]) if kept.get("id") == event.id else {}


def forget(client: redis.Redis, name: str) -> None:
    """Raises redis.RedisError."""
    with client.pipeline() as pipeline:
        pipeline.hdel(KEY, name)
        pipeline.hdel(_OVER, name)
        pipeline.execute()
