"""What a worker's parent process has: one Redis client. Its threads ask by turns, so one connection does for all."""

from __future__ import annotations

from functools import cache

import redis

from dbcore.redis_client import connect_redis
from dbcore.settings import load_settings


@cache
def redis_client() -> redis.Redis:
    """Not for its children, which make their own after the fork. Raises SettingsError where REDIS_URL is unset."""
    return connect_redis(load_settings())
