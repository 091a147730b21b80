"""How long the fleet kept the database awake, by plan's month, in Redis.

ballast:awake:<begin>   hash   total: seconds awake up to `until`; until; since: when counting began

Each process with calls to show for says so every few seconds: the database then stays awake until so long after. What
two processes say overlaps, and is counted once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

import redis

from dbcore.quota import Usage, period
from dbcore.settings import Settings

NOTE_SECONDS = 10.0
"""Between two notes of a process; an idle gap is estimated no better than this."""

KEPT_SECONDS = 70 * 24 * 3600

_NOTE = """
local stays, kept = tonumber(ARGV[1]), ARGV[2]
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
redis.call('HSETNX', KEYS[1], 'since', now)
local until_ = tonumber(redis.call('HGET', KEYS[1], 'until') or '0')
redis.call('HINCRBYFLOAT', KEYS[1], 'total', now + stays - math.max(now, until_))
redis.call('HSET', KEYS[1], 'until', now + stays)
redis.call('EXPIRE', KEYS[1], kept)
"""


class ComputeUsage:
    """Raises redis.RedisError."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        sleeps_after_seconds: float,
        renews_on_day: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """sleeps_after_seconds -- after its last use the database sleeps."""
        self._redis = client
        self._note = client.register_script(_NOTE)
        self._sleeps_after = sleeps_after_seconds
        self._day = renews_on_day
        self._clock = clock
        self._calls = 0
        self._noted_at = float("-inf")

    def note(self, calls_total: int) -> None:
        """This process has made so many calls by now. Costs nothing where there were none since, or a moment ago."""
        if calls_total == self._calls or self._clock() - self._noted_at < NOTE_SECONDS:
            return
        self._note(keys=[self._key(time.time())], args=[self._sleeps_after, KEPT_SECONDS])
        self._calls, self._noted_at = calls_total, self._clock()

    def usage(self, now: float) -> Usage | None:
        """Of the month that `now` is in; None where nothing was noted in it."""
        found = cast(dict[bytes, bytes], self._redis.hgetall(self._key(now)))
        if not found:
            return None
        ahead = max(0.0, float(found[b"until"]) - now)  # counted already, though it has not passed
        return Usage(max(0.0, float(found[b"total"]) - ahead), float(found[b"since"]))

    def is_awake(self, now: float) -> bool:
        """Whether somebody's use keeps it awake now, as far as is known. now -- by Redis's clock."""
        until = cast("bytes | None", self._redis.hget(self._key(now), "until"))
        return until is not None and now < float(until)

    def _key(self, now: float) -> str:
        return f"ballast:awake:{int(period(now, self._day)[0])}"


def compute_usage(client: redis.Redis, settings: Settings) -> ComputeUsage:
    return ComputeUsage(
        client,
        sleeps_after_seconds=settings.quota_sleeps_after_seconds,
        renews_on_day=settings.quota_renews_on_day,
    )
