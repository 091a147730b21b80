"""When each broadcast is to be looked at next: its scheduled time, the end of its quiet hours, or half a minute after
its last sign of life.

In Redis, so that a database that sleeps while nothing is to be done stays asleep. By Redis's clock.

    ballast:broadcasts:due      zset     broadcast id -> unix time
    ballast:broadcasts:wakes    hash     broadcast id -> how often it was woken since a chunk of it last ended
    ballast:broadcasts:whole    string   gone where Redis lost its data: then it is made anew from the table
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

import redis

LOOKED_AT_ONCE = 50

WAKES_STUCK = 6
"""Woken so often, twice a minute, without a chunk that ended and had a follower: it does not get on."""

_DUE = "ballast:broadcasts:due"
_WAKES = "ballast:broadcasts:wakes"
_WHOLE = "ballast:broadcasts:whole"

_SET = """
local time = redis.call('TIME')
local score = time[1] + time[2] / 1e6 + ARGV[2]
local arguments = {unpack(ARGV, 3)}
arguments[#arguments + 1] = score
arguments[#arguments + 1] = ARGV[1]
return redis.call('ZADD', KEYS[1], unpack(arguments))
"""
_TAKE_DUE = """
local time = redis.call('TIME')
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', time[1], 'LIMIT', 0, ARGV[1], 'WITHSCORES')
for i = 1, #due, 2 do
  redis.call('ZADD', KEYS[1], time[1] + ARGV[2], due[i])
  redis.call('HINCRBY', KEYS[2], due[i], 1)
end
return due
"""


class Schedule:
    """Raises redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._set: Any = client.register_script(_SET)
        self._take_due: Any = client.register_script(_TAKE_DUE)

    def now(self) -> datetime:
        seconds, microseconds = self._redis.time()
        return datetime.fromtimestamp(seconds + microseconds / 1e6, UTC)

    def at(self, broadcast_id: int, unix_time: float) -> None:
        self._redis.zadd(_DUE, {str(broadcast_id): unix_time})

    def after(self, broadcast_id: int, seconds: float) -> None:
        self._set(keys=[_DUE], args=[broadcast_id, seconds])

    def within(self, broadcast_id: int, seconds: float) -> None:
        """Sooner, where it is due sooner."""
        self._set(keys=[_DUE], args=[broadcast_id, seconds, "LT"])

    def rest(self, broadcast_id: int, seconds: float) -> None:
        """Telegram has us wait: it is not looked at sooner."""
        self._set(keys=[_DUE], args=[broadcast_id, seconds, "XX", "GT"])

    def is_complete(self) -> bool:
        """Whether Redis has kept its data since it was made whole."""
        return bool(self._redis.exists(_WHOLE))

    def rebuild(self, broadcasts: Mapping[int, datetime | None]) -> None:
        """Take up those that it does not know of.

        broadcasts -- all that are to be looked at, with the time of those that have one; the others are due now.
        """
        now = self.now().replace(microsecond=0)  # due by now
        due = {str(each): (time or now).timestamp() for each, time in broadcasts.items()}
        with self._redis.pipeline() as pipeline:
            if due:
                pipeline.zadd(_DUE, due, nx=True)
            pipeline.set(_WHOLE, 1)
            pipeline.execute()

    def went_on(self, broadcast_id: int, seconds: float) -> None:
        """A chunk of it has ended, and another follows."""
        self._redis.hdel(_WAKES, str(broadcast_id))
        self.after(broadcast_id, seconds)

    def remove(self, broadcast_id: int) -> None:
        self._redis.zrem(_DUE, broadcast_id)
        self._redis.hdel(_WAKES, str(broadcast_id))

    def size(self) -> int:
        """Broadcasts that are sending, or will at their time."""
        return self._redis.zcard(_DUE)

    def stuck(self) -> list[int]:
        """Those that do not get on."""
        wakes = cast(dict[bytes, bytes], self._redis.hgetall(_WAKES))
        return sorted(int(each) for each, count in wakes.items() if int(count) >= WAKES_STUCK)

    def take_due(self, again_after_seconds: float) -> list[tuple[int, float]]:
        """Those whose time has come, with that time. They are due again later, in case this caller dies."""
        answer = cast(
            list[bytes], self._take_due(keys=[_DUE, _WAKES], args=[LOOKED_AT_ONCE, again_after_seconds])
        )
        return [(int(each), float(score)) for each, score in zip(answer[::2], answer[1::2], strict=True)]


def quiet_until(hours: Mapping[str, str] | None, now: datetime) -> datetime | None:
    """When they end, if `now` is within them; else None.

    hours -- `{"begin": "22:00", "end": "08:00", "zone": "Europe/Berlin"}`; past midnight where the end is earlier.
    now -- aware.
    """
    if hours is None:
        return None
    zone = ZoneInfo(hours["zone"])
    local = now.astimezone(zone)
    begin, end = time.fromisoformat(hours["begin"]), time.fromisoformat(hours["end"])
    clock = local.time()
    quiet = begin <= clock < end if begin < end else clock >= begin or clock < end
    if not quiet:
        return None
    ends_on = local.date() if clock < end else local.date() + timedelta(days=1)
    ends = datetime.combine(ends_on, end, zone)
    return (
        ends if ends > now else ends.replace(fold=1)
    )  # in an hour that the clocks show twice, the second time
