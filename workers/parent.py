"""What a worker's parent process has: one Redis client for all of its threads."""

from __future__ import annotations

from functools import cache

import redis

from dbcore.redis_client import connect_redis
from dbcore.settings import load_settings

CONNECTIONS_MAX = 1
"""They ask little, and by turns. More would be opened at the start and kept, unused."""


@cache
def redis_client() -> redis.Redis:
    """Not for its children, which make their own after the fork. Raises SettingsError where REDIS_URL is unset."""
    return connect_redis(load_settings(), connections_max=CONNECTIONS_MAX)
