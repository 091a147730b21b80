"""Recipients whose chat Telegram refused by a 429: they stay leased, under their chunk's number, until their chat may
be sent to again. So they do not hold up the others, and no chunk in between is handed them.

Who takes the next chunk gives back those whose time has come. Their lease in the table ends at the same time: if Redis
loses this list, they are found like the recipients of any expired lease.

    ballast:broadcasts:waiting:<broadcast>    zset   number of a lease -> when its recipients may be sent to, unix ms
"""

from __future__ import annotations

from typing import Any, cast

import redis

TAKEN_AT_ONCE = 50

KEPT_SECONDS = 7 * 86_400
"""As long as a lease's record."""

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
_ADD = f"""{_NOW}
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""
_TAKE_DUE = f"""{_NOW}
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
if #due > 0 then redis.call('ZREM', KEYS[1], unpack(due)) end
return due
"""
_NEXT = f"""{_NOW}
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return first[2] and math.max(0, first[2] - now) or false
"""


class WaitingLeases:
    """Raises redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._add: Any = client.register_script(_ADD)
        self._take_due: Any = client.register_script(_TAKE_DUE)
        self._next: Any = client.register_script(_NEXT)

    def add(self, broadcast_id: int, number: int, seconds: float) -> None:
        """The recipients of this lease wait for so long."""
        self._add(keys=[_key(broadcast_id)], args=[number, round(1000 * seconds), KEPT_SECONDS])

    def take_due(self, broadcast_id: int) -> list[int]:
        """Leases whose recipients are to be given back now, each to one caller only."""
        return [int(each) for each in self._take_due(keys=[_key(broadcast_id)], args=[TAKEN_AT_ONCE])]

    def next_seconds(self, broadcast_id: int) -> float | None:
        """Until the first of them is due; None where nobody waits."""
        wait_ms = cast("int | None", self._next(keys=[_key(broadcast_id)]))
        return None if wait_ms is None else wait_ms / 1000


def _key(broadcast_id: int) -> str:
    return f"ballast:broadcasts:waiting:{broadcast_id}"
