"""Whether somebody is subscribed, also while the database is unavailable: what was known last is in Redis.

ballast:subscriptions   hash   "<Telegram id> <plan>" -> until when it counts, version, when it was so

What Redis has answers only with a yes, until the time that it names. That somebody is not subscribed is known by the
database alone: they may have paid since.
"""

from __future__ import annotations

import contextlib
from typing import cast

import redis

from dbcore.errors import DatabaseAway, UsageError
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import star_subscriptions
from dbcore.ledger.star_subscriptions import CountsUntil
from dbcore.redis_client import redis_time
from dbcore.subscription_plans import NAME

KEY = "ballast:subscriptions"

_NOTE = """
-- ARGV: person and plan, until when it counts, version, when it was so. What is newer stays.
local known_version, known_at = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^%S+ (%d+) (%S+)')
known_version, known_at = tonumber(known_version) or -1, tonumber(known_at) or -1
local version, seen_at = tonumber(ARGV[3]), tonumber(ARGV[4])
if version > known_version or (version == known_version and seen_at > known_at) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
end
"""


def is_subscribed(
    engine: GuardedEngine, client: redis.Redis, telegram_id: int, plan: str, *, memory_first: bool = False
) -> bool:
    """memory_first -- ask the database only if Redis does not know that they are: what was refunded within the last
    moments may still count.

    Raises Unavailable if it is not known: the database is unavailable, and Redis does not know of a subscription that
    still counts. UsageError for what cannot be a plan.
    """
    if NAME.fullmatch(plan) is None:
        raise UsageError(f"expected the name of a plan of STARS_SUBSCRIPTIONS, got {plan[:40]!r}")
    if memory_first and _is_known(client, telegram_id, plan):
        return True
    try:
        return look_up(engine, client, telegram_id, plan).counts
    except DatabaseAway:
        if _is_known(client, telegram_id, plan):
            return True
        raise


def look_up(engine: GuardedEngine, client: redis.Redis, telegram_id: int, plan: str) -> CountsUntil:
    """As the database has it, which Redis knows from then on. Raises Unavailable."""
    seen = star_subscriptions.counts_until(engine, telegram_id, plan)
    if seen.until is not None:
        with contextlib.suppress(redis.RedisError):  # it is known all the same
            script = client.register_script(_NOTE)
            script(keys=[KEY], args=[f"{telegram_id} {plan}", seen.until, seen.version, seen.seen_at])
    return seen


def _is_known(client: redis.Redis, telegram_id: int, plan: str) -> bool:
    """By Redis's memory and clock."""
    try:
        kept = cast("bytes | None", client.hget(KEY, f"{telegram_id} {plan}"))
        return kept is not None and float(kept.split()[0]) > redis_time(client)
    except redis.RedisError:
        return False
