"""What stands now and needs the admins, as whoever is on watch remembers it in Redis, and the pages show it.

ballast:alarms   hash   condition -> the event as JSON: its id, since when, whether told, what to say after
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import cast

import redis

KEY = "ballast:alarms"


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
