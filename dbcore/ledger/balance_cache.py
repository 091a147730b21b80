"""The last balances known, in Redis: what people are told of theirs, with its time, while the database is unavailable.

ballast:balances:<currency>   hash   Telegram id -> balance, the account's version, when it was so; one entry a user
ballast:held:<currency>       hash   Telegram id -> what of it was reserved, when that was so; nobody of whom nothing is

Jobs of different users, and programs beside them, touch one account and end in any order: the newer version stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import redis

NOTE_LUA = """
-- ARGV from `first` to `last`, or to the end, for each: currency, Telegram id, balance, account version, and what of it
-- is reserved, empty if that was not read. seen_at is in seconds: it was so then, or right after.
local function note_held(key, user, held, seen_at)
  local known_at = tonumber(string.match(redis.call('HGET', key, user) or '', '^%S+ (%S+)')) or -1
  if seen_at < known_at then return end
  if held == '0' then redis.call('HDEL', key, user) else redis.call('HSET', key, user, held .. ' ' .. seen_at) end
end

local function note_balances(seen_at, first, last)
  local exactly = seen_at
  seen_at = math.floor(seen_at)
  for i = first, last or #ARGV, 5 do
    local key, user, balance, version = 'ballast:balances:' .. ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
    local known_version, known_at = string.match(redis.call('HGET', key, user) or '', '^%S+ (%d+) (%d+)')
    known_version, known_at = tonumber(known_version) or -1, tonumber(known_at) or -1
    if version > known_version or (version == known_version and seen_at > known_at) then
      redis.call('HSET', key, user, balance .. ' ' .. version .. ' ' .. seen_at)
    end
    if ARGV[i + 4] ~= '' then note_held('ballast:held:' .. ARGV[i], user, ARGV[i + 4], exactly) end
  end
end
"""
"""For any script that notes balances along with what else it does."""

_NOTE = f"""{NOTE_LUA}
local time = redis.call('TIME')
note_balances(time[1] + time[2] / 1e6 - ARGV[1], 2)
"""


@dataclass(frozen=True, slots=True)
class BalanceSnapshot:
    """A user's balance as somebody saw it in the database, in minor units.

    version -- the account's, which grows with every entry. held -- what of it is reserved; None if that was not read.
    """

    telegram_id: int
    currency: str
    balance: int
    version: int
    held: int | None = None


def as_arguments(balances: Iterable[BalanceSnapshot]) -> list[str | int]:
    """For a script with NOTE_LUA."""
    return [
        item
        for seen in balances
        for item in (
            seen.currency,
            seen.telegram_id,
            seen.balance,
            seen.version,
            "" if seen.held is None else seen.held,
        )
    ]


class BalanceCache:
    """Raises redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._note = client.register_script(_NOTE)

    def note(self, *balances: BalanceSnapshot, ago_seconds: float) -> None:
        """They were so then, or became so since."""
        self._note(args=[ago_seconds, *as_arguments(balances)])

    def last(self, telegram_id: int, currency: str) -> tuple[int, int] | None:
        """The last one known, and when it was so: minor units, seconds since 1970. None where none is known."""
        kept = cast("bytes | None", self._redis.hget(f"ballast:balances:{currency}", str(telegram_id)))
        if kept is None:
            return None
        balance, _, seen_at = kept.split()
        return int(balance), int(seen_at)

    def held(self, telegram_id: int, currency: str) -> int:
        """What of the last one known is reserved, as far as that was read; minor units."""
        kept = cast("bytes | None", self._redis.hget(f"ballast:held:{currency}", str(telegram_id)))
        return 0 if kept is None else int(kept.split()[0])
