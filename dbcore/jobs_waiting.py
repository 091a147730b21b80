"""A flag in Redis: jobs wait in the table `outbox`. For HEALTH_PROBE_MODE=thrifty, where a probe must not wake a
database that sleeps just to find out.

ballast:outbox:waiting   string   drawn by who committed jobs last; deleted by a relay that began later and left none
"""

from __future__ import annotations

import uuid
from typing import cast

import redis

_KEY = "ballast:outbox:waiting"
_WITHDRAW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


def tell(client: redis.Redis) -> None:
    """Jobs were committed. Raises redis.RedisError, as the others do."""
    client.set(_KEY, uuid.uuid4().hex)


def read(client: redis.Redis) -> str | None:
    """The flag as it is now; None if no jobs are known to wait."""
    flag = cast("bytes | None", client.get(_KEY))
    return None if flag is None else flag.decode()


def withdraw(client: redis.Redis, flag: str) -> None:
    """A relay that began after `flag` was read has left none. A newer flag stays."""
    client.eval(_WITHDRAW, 1, _KEY, flag)
