"""The fleet's connections: how many its processes may open together, and how many a process that starts gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import redis
import structlog

from dbcore.breaker.store import CONNECTIONS_KEY, FleetStore
from dbcore.redis_client import redis_time
from dbcore.redis_pace import RESPONSIVE, pace_of
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

FORKED_POOL_SIZE = 1
FORKED_OVERFLOW_MAX = 1
"""A forked child runs one task at a time. The second connection is for what goes on beside it: the fleet's probe, and
a mark on a user who blocked the bot.
"""


@dataclass(frozen=True, slots=True)
class FleetConnections:
    """Of all processes: what they may open, and have open."""

    possible: int
    open: int


def wanted_by(settings: Settings, *, forked: bool) -> Settings:
    """The settings with the connections that a process has a use for."""
    if not forked:
        return settings
    return settings.model_copy(
        update={
            "db_pool_size": FORKED_POOL_SIZE,
            "db_max_overflow": min(settings.db_max_overflow, FORKED_OVERFLOW_MAX),
        }
    )


def within_budget(settings: Settings, client: redis.Redis, process: str) -> Settings:
    """The settings with as many connections as DB_CONNECTION_BUDGET has left, at least one.

    More come by the process's link once others leave. Where Redis cannot be asked it starts with one.
    """
    budget, wanted = settings.db_connection_budget, settings.db_pool_size + settings.db_max_overflow
    if budget is None:
        return settings
    try:
        store = FleetStore(client, silent_after_seconds=pace_of(settings).silent)
        granted = store.reserve(process, wanted, budget)
    except redis.RedisError as error:
        log.warning("connection_budget_unknown", error=type(error).__name__, starts_with=1)
        granted = 1
    if granted < wanted:
        log.error(
            "connection_budget_exceeded",
            option="DB_CONNECTION_BUDGET",
            budget=budget,
            wanted=wanted,
            starts_with=granted,
        )
    size = min(settings.db_pool_size, granted)
    return settings.model_copy(update={"db_pool_size": size, "db_max_overflow": granted - size})


def read_connections(
    client: redis.Redis, *, silent_after_seconds: float = RESPONSIVE.silent
) -> FleetConnections:
    """As the processes last said; those long silent are gone. Raises redis.RedisError where Redis cannot be asked."""
    lines = cast(dict[bytes, bytes], client.hgetall(CONNECTIONS_KEY)).values()
    oldest = redis_time(client) - silent_after_seconds
    numbers = [line.split() for line in lines]
    heard = [(int(possible), int(is_open)) for possible, is_open, seen in numbers if float(seen) >= oldest]
    return FleetConnections(
        possible=sum(possible for possible, _ in heard), open=sum(is_open for _, is_open in heard)
    )
