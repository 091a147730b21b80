"""How a process becomes one of the fleet: an engine within the budget, and a link that tells it what the rest is."""

from __future__ import annotations

from contextlib import suppress

import redis

from dbcore.breaker.compute_usage import compute_usage
from dbcore.breaker.connection_budget import wanted_by, within_budget
from dbcore.breaker.sync import BreakerSync
from dbcore.guard.engine import GuardedEngine
from dbcore.moving import whereabouts
from dbcore.moving.heeding import MoveListener
from dbcore.redis_pace import pace_of
from dbcore.settings import Settings


def join(
    settings: Settings,
    client: redis.Redis,
    process: str,
    *,
    forked: bool = False,
    bulk: bool = False,
    application_name: str = "ballast",
) -> tuple[GuardedEngine, BreakerSync]:
    """The engine, and its link, not started yet. Where Redis is away it starts with one connection.

    process -- its name in the fleet. forked -- it runs one task at a time, as a prefork pool's child.
    bulk -- nobody waits for what it does.
    """
    wanted = wanted_by(settings, forked=forked)
    if settings.telegram_bot_token is not None:
        whereabouts.note_token(settings.telegram_bot_token.get_secret_value())
    moves = MoveListener(client, settings.require("database_url"), process)
    with suppress(redis.RedisError):  # then it asks once Redis answers
        moves.look()
    engine = GuardedEngine(within_budget(wanted, client, process), application_name=application_name)
    link = BreakerSync(
        client,
        engine,
        process,
        connection_budget=settings.db_connection_budget,
        connections_wanted=wanted.db_pool_size + wanted.db_max_overflow,
        awake=compute_usage(client, settings),
        moves=moves,
        pace=pace_of(settings),
        bulk=bulk,
    )
    return engine, link
