"""How far a move is, as Redis knows it: for pages, metrics and `ballast move --status`."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from ballast.moving.pause import LIVING_SECONDS, living_processes
from dbcore.moving import record
from dbcore.moving.record import Move


@dataclass(frozen=True, slots=True)
class MoveProgress:
    """move -- the one that is under way, or the last one. with_old_url -- so many living processes have an address in
    DATABASE_URL from before it, and followed.
    """

    move: Move
    with_old_url: int


def read(client: redis.Redis, *, silent_after_seconds: float = LIVING_SECONDS) -> MoveProgress | None:
    """None if no move is known. silent_after_seconds -- a process that has not spoken for so long does not count.

    Raises redis.RedisError.
    """
    move = record.read(client)
    if move is None:
        return None
    followed = record.followed(client).keys()
    living = living_processes(client, silent_after_seconds).keys() if followed else set()
    return MoveProgress(move, len(followed & living))
