"""What the pages and alarms know of backups, in Redis.

    ballast:backup   hash   proven: the last proven one; failed: the last run, if it made none; tried_at: when one was
                            last begun; expected: since when, how often and up to what age one is to be there

All times are seconds since 1970 by Redis's clock. Should Redis lose it, the next run that is due reads from the store
when the last proven one was.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

import redis

from ballast.backups.stores import Note
from dbcore.redis_client import redis_time

KEY = "ballast:backup"
_ERROR_LENGTH_MAX = 300


@dataclass(frozen=True, slots=True)
class Proven:
    """taken_at -- the moment of its dump."""

    name: str
    where: str
    taken_at: float
    bytes: int
    sealed: bool
    inbox: int | None


@dataclass(frozen=True, slots=True)
class Failed:
    at: float
    error: str


@dataclass(frozen=True, slots=True)
class Expected:
    """since -- from when on backups are made by schedule. alarm_seconds -- the age of the last one that is too much."""

    since: float
    alarm_seconds: float


@dataclass(frozen=True, slots=True)
class Record:
    """None: there is none, or none is known."""

    proven: Proven | None = None
    failed: Failed | None = None
    tried_at: float = 0.0
    expected: Expected | None = None

    def is_overdue(self, now: float) -> bool:
        """Whether there is no proven backup that is young enough, though one is expected."""
        if self.expected is None:
            return False
        last = self.expected.since if self.proven is None else self.proven.taken_at
        return now - last > self.expected.alarm_seconds


def read(client: redis.Redis) -> Record:
    """Raises redis.RedisError."""
    kept = cast("dict[bytes, bytes]", client.hgetall(KEY))

    def value(field: str) -> dict[str, Any] | None:
        raw = kept.get(field.encode())
        return None if raw is None else json.loads(raw)

    proven, failed, expected = value("proven"), value("failed"), value("expected")
    return Record(
        None if proven is None else Proven(**proven),
        None if failed is None else Failed(**failed),
        float(kept.get(b"tried_at", 0)),
        None if expected is None else Expected(**expected),
    )


def keep_proven(client: redis.Redis, note: Note, where: str) -> None:
    """Raises redis.RedisError."""
    taken_at = datetime.fromisoformat(note.taken_at).timestamp()
    proven = Proven(note.name, where, taken_at, note.bytes, note.sealed, note.inbox)
    with client.pipeline(transaction=True) as pipeline:
        pipeline.hset(KEY, "proven", json.dumps(asdict(proven)))
        pipeline.hdel(KEY, "failed")
        pipeline.execute()


def keep_failed(client: redis.Redis, error: str) -> None:
    """Raises redis.RedisError."""
    failed = Failed(redis_time(client), error[:_ERROR_LENGTH_MAX])
    client.hset(KEY, "failed", json.dumps(asdict(failed)))


def note_begun(client: redis.Redis) -> None:
    """Raises redis.RedisError."""
    client.hset(KEY, "tried_at", redis_time(client))


def expect(client: redis.Redis, record: Record, alarm_seconds: float | None) -> None:
    """By schedule from now on, or no longer. Raises redis.RedisError."""
    if alarm_seconds is None:
        if record.expected is not None:
            client.hdel(KEY, "expected")
    elif record.expected is None or record.expected.alarm_seconds != alarm_seconds:
        since = redis_time(client) if record.expected is None else record.expected.since
        client.hset(KEY, "expected", json.dumps(asdict(Expected(since, alarm_seconds))))
