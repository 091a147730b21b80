"""Telegram in trouble, as all who send broadcasts know of it: it takes nothing, or answers nothing.

A send whose answer never comes leaves its recipient unknown for good, so whoever goes on while Telegram hangs turns an
audience into unknown at the full pace. After a few troubles in a row nobody of the fleet begins a send any more; one
recipient at a time is tried, after waits that grow, until Telegram answers one.

    ballast:broadcasts:trouble    hash   tried: how many were; next_at: when the next may be, unix ms
"""

from __future__ import annotations

from typing import Any, cast

import redis
import structlog

log = structlog.get_logger(__name__)

THRESHOLD = 5
"""Sends in a row, in one process, that Telegram did not take or did not answer."""

WAIT_SECONDS_MIN, WAIT_SECONDS_MAX = 2.0, 30.0

TRIAL_SECONDS_MAX = 30.0
"""Longer than a send can take: whoever tries and has said nothing by then is dead."""

KEPT_SECONDS = 3600
"""Without a trial: nothing is being sent then."""

_KEY = "ballast:broadcasts:trouble"

_PRELUDE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function next_trial(ms)
  redis.call('HSET', KEYS[1], 'next_at', now + ms)
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
"""
_BEGIN = f"""{_PRELUDE}
if redis.call('HSETNX', KEYS[1], 'tried', 0) == 0 then return 0 end
next_trial({1000 * WAIT_SECONDS_MIN:.0f})
return 1
"""
_WAIT = f"""{_PRELUDE}
local next_at = redis.call('HGET', KEYS[1], 'next_at')
return next_at and math.max(0, next_at - now) or false
"""
_TRY = f"""{_PRELUDE}
local next_at = redis.call('HGET', KEYS[1], 'next_at')
if not next_at or tonumber(next_at) > now then return 0 end
redis.call('HINCRBY', KEYS[1], 'tried', 1)
next_trial({1000 * TRIAL_SECONDS_MAX:.0f})
return 1
"""
_GO_ON = f"""{_PRELUDE}
local tried = redis.call('HGET', KEYS[1], 'tried')
if tried then
  next_trial(math.min({1000 * WAIT_SECONDS_MAX:.0f}, {1000 * WAIT_SECONDS_MIN:.0f} * 2 ^ math.min(10, tried)))
end
"""


class TelegramBreaker:
    """Raises redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._begin: Any = client.register_script(_BEGIN)
        self._wait: Any = client.register_script(_WAIT)
        self._try: Any = client.register_script(_TRY)
        self._go_on: Any = client.register_script(_GO_ON)

    def wait_seconds(self) -> float | None:
        """None where there is no trouble; else after how long a recipient may be tried, 0.0 for now."""
        wait_ms = cast("int | None", self._wait(keys=[_KEY], args=[KEPT_SECONDS]))
        return None if wait_ms is None else wait_ms / 1000

    def begin(self) -> None:
        """Telegram is in trouble."""
        if self._begin(keys=[_KEY], args=[KEPT_SECONDS]):
            log.warning("telegram_in_trouble")

    def try_one(self) -> bool:
        """Whether the caller may try one recipient now; it says what came of it by `go_on` or `end`."""
        return bool(self._try(keys=[_KEY], args=[KEPT_SECONDS]))

    def go_on(self) -> None:
        """It still is in trouble: the next trial comes after a longer wait."""
        self._go_on(keys=[_KEY], args=[KEPT_SECONDS])

    def end(self) -> None:
        """Telegram answered."""
        if self._redis.delete(_KEY):
            log.info("telegram_is_back")
