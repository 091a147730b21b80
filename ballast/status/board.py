"""What the status page shows of the database's own tables: open dead letters, broadcasts, what operators did and have
to decide. A worker
reads them, where somebody watches the page; in Redis they stay readable while the database is unavailable.

    ballast:board   string   as JSON: at, when it was read, by Redis's clock; work, see below; dead_letters, approvals,
                             broadcasts, actions; broadcasts_mark, another one once anything of them changed
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import redis

from ballast.queueing.kinds import DATABASE_KINDS
from ballast.status.counters import name_of
from dbcore.breaker import read_breaker
from dbcore.breaker.compute_usage import ComputeUsage

if TYPE_CHECKING:
    from ballast.inbox import Publisher

TASK = "workers.health.board"

FRESH_SECONDS = 2.5
"""However many pages ask, it is read no more often."""

EXPIRES_SECONDS = 10

_KEY = "ballast:board"
_PARTS = {"at", "work", "dead_letters", "broadcasts", "actions"}


def ask(publisher: Publisher) -> None:
    """Have a worker read it anew. Never raises for a Redis that is unavailable: whoever watches asks again."""
    publisher.ask(TASK, queue="health", expires_seconds=EXPIRES_SECONDS)


def read(client: redis.Redis) -> dict[str, Any] | None:
    """The board as it was read last; None where another release wrote it. Raises redis.RedisError."""
    kept = cast("bytes | None", client.get(_KEY))
    board = {} if kept is None else cast(dict[str, Any], json.loads(kept))
    return board if board.keys() >= _PARTS else None


def keep(client: redis.Redis, board: dict[str, Any]) -> None:
    client.set(_KEY, json.dumps(board, default=str))


def is_due(client: redis.Redis, *, now: float, work: int, awake: ComputeUsage | None) -> bool:
    """Whether it is not fresh, and the database may be asked.

    now -- by Redis's clock. work -- as `work_done` says.
    awake -- of a database that sleeps while nobody uses it: looking must neither wake it nor keep it awake, so it is
    asked only where others use it, and there is something new to see. Raises redis.RedisError.
    """
    last = read(client)
    if last is not None and now - last["at"] < FRESH_SECONDS:
        return False
    if read_breaker(client).is_open:
        return False
    if awake is None:
        return True
    return (last is None or last["work"] != work) and awake.is_awake(now)


def work_done(counts: Mapping[str, int]) -> int:
    """Jobs on the database that ended ever since (status/counters.py): without new ones, the board is as it was."""
    return sum(counts.get(name_of("jobs_done", kind), 0) for kind in DATABASE_KINDS)
