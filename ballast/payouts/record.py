"""What the pages and alarms know of withdrawals, in Redis: the payouts' sweep leaves it while any is open.

ballast:payouts   string   how many are open, whether payouts are stopped, and those that do not get on, as JSON
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import cast

import redis

from dbcore.ledger.withdrawals import OpenOnes, Stuck, WithdrawalState
from dbcore.redis_client import redis_time

KEY = "ballast:payouts"


@dataclass(frozen=True, slots=True)
class Record:
    """at -- when a worker looked, by Redis's clock."""

    at: float
    open: OpenOnes


def keep(client: redis.Redis, found: OpenOnes) -> None:
    """Raises redis.RedisError."""
    if not (any(found.counted.values()) or found.is_stopped):
        client.delete(KEY)
        return
    client.set(KEY, json.dumps(asdict(Record(redis_time(client), found))))


def read(client: redis.Redis) -> Record | None:
    """None: none is open. Raises redis.RedisError."""
    kept = cast("bytes | None", client.get(KEY))
    if kept is None:
        return None
    raw = json.loads(kept)
    stuck = tuple(Stuck(**{**each, "state": WithdrawalState(each["state"])}) for each in raw["open"]["stuck"])
    return Record(raw["at"], OpenOnes(**{**raw["open"], "stuck": stuck}))
