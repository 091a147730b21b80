"""The move in Redis. The notice in the old database is the truth (notice.py); this is what processes and pages hear of
it, also when the old server is gone.

    ballast:move             string   the move that is under way, or the last one
    ballast:move:asked       string   the id of the move that all are asked about: whether they can follow
    ballast:move:reached     hash     process -> `ok`, or why it cannot connect to the new server
    ballast:move:followed    hash     process -> when it went on at the new server, though DATABASE_URL is the old one

All times are seconds since 1970 by Redis's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import redis
from pydantic import TypeAdapter, ValidationError

from dbcore.redis_client import redis_time

KEY = "ballast:move"
_ASKED = f"{KEY}:asked"
_ASKED_SECONDS = 60
_REACHED, _FOLLOWED = f"{KEY}:reached", f"{KEY}:followed"
_KEPT_SECONDS = 30 * 86_400


class MoveState(StrEnum):
    """COPYING -- people notice nothing. HOLDING -- nobody writes. SWITCHED -- the new database is in charge."""

    COPYING = "copying"
    HOLDING = "holding"
    SWITCHED = "switched"


@dataclass(frozen=True, slots=True)
class Move:
    """fingerprint -- of the old address. moved_from, moved_to -- for people. sealed -- the new address (sealing.py).

    method -- `replication`, `dump` or `backup`. fenced -- whether the old database refuses writes.
    """

    id: str
    state: MoveState
    fingerprint: str
    moved_from: str
    moved_to: str
    sealed: str
    method: str
    began_at: float
    held_at: float = 0.0
    switched_at: float = 0.0
    fenced: bool = True


_MOVE = TypeAdapter(Move)


def read(client: redis.Redis) -> Move | None:
    """The last one; None if there is none, or a release that is newer wrote it. Raises redis.RedisError."""
    kept = cast("bytes | None", client.get(KEY))
    try:
        return None if kept is None else _MOVE.validate_json(kept)
    except ValidationError:
        return None


def write(client: redis.Redis, move: Move) -> None:
    """Raises redis.RedisError."""
    client.set(KEY, _MOVE.dump_json(move))


def forget(client: redis.Redis) -> None:
    """It was broken off. Raises redis.RedisError."""
    client.delete(KEY, _ASKED, _REACHED)


def ask(client: redis.Redis, move: Move) -> None:
    """Each process tries the new server and says what it found, within some seconds. Raises redis.RedisError."""
    client.set(_ASKED, move.id, ex=_ASKED_SECONDS)


def note_reached(client: redis.Redis, move: Move, process: str, trouble: str | None) -> None:
    """The process has tried to connect to the new server. trouble -- why it cannot. Raises redis.RedisError."""
    client.hset(_REACHED, process, f"{move.id} {trouble or 'ok'}")
    client.expire(_REACHED, _KEPT_SECONDS)


def reached(client: redis.Redis, move: Move) -> dict[str, str]:
    """What each process that has tried has found: `ok`, or its trouble. Raises redis.RedisError."""
    found = cast("dict[bytes, bytes]", client.hgetall(_REACHED))
    answers = {process.decode(): answer.decode().partition(" ") for process, answer in found.items()}
    return {process: told for process, (move_id, _, told) in answers.items() if move_id == move.id}


def note_followed(client: redis.Redis, process: str) -> None:
    """Raises redis.RedisError."""
    client.hset(_FOLLOWED, process, f"{redis_time(client):.3f}")
    client.expire(_FOLLOWED, _KEPT_SECONDS)


def followed(client: redis.Redis) -> dict[str, float]:
    """When each process followed that was started with an old address. Raises redis.RedisError."""
    found = cast("dict[bytes, bytes]", client.hgetall(_FOLLOWED))
    return {process.decode(): float(at) for process, at in found.items()}
