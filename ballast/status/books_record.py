"""What the pages and alarms know of the ledger's books, in Redis: a worker leaves it after each time that it sealed.

ballast:books   string   balances of the accounts, the last days' totals, and the state of the seals, as JSON
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import cast

import redis

from dbcore.ledger.books import AccountTotal, DayTotal
from dbcore.ledger.seals import State
from dbcore.redis_client import redis_time

KEY = "ballast:books"
DAYS = 7
"""UTC days whose totals are kept, today's among them."""


@dataclass(frozen=True, slots=True)
class Books:
    """at -- when it was read, by Redis's clock. sheet -- minor units of each account. days -- totals of DAYS
    days, today's first.

    newest -- the last seal, with its hash and when it was made. unsealed -- entries beyond it, up to a million.
    broken -- seals that are not whole. read_since -- since then each sealed row was read once.
    """

    at: float
    sheet: tuple[AccountTotal, ...]
    days: tuple[DayTotal, ...]
    newest: int | None
    hash: str | None
    sealed_at: float | None
    unsealed: int
    broken: int
    read_since: float | None


def keep(client: redis.Redis, state: State, sheet: Sequence[AccountTotal], days: Sequence[DayTotal]) -> None:
    """Raises redis.RedisError."""
    books = Books(
        at=redis_time(client),
        sheet=tuple(sheet),
        days=tuple(days),
        newest=state.newest,
        hash=state.hash,
        sealed_at=state.sealed_at,
        unsealed=state.unsealed,
        broken=state.broken,
        read_since=state.read_since,
    )
    client.set(KEY, json.dumps(asdict(books), default=date.isoformat))


def read(client: redis.Redis) -> Books | None:
    """Raises redis.RedisError."""
    kept = cast("bytes | None", client.get(KEY))
    if kept is None:
        return None
    raw = json.loads(kept)
    sheet = tuple(AccountTotal(**each) for each in raw["sheet"])
    days = tuple(DayTotal(**{**each, "day": date.fromisoformat(each["day"])}) for each in raw["days"])
    return Books(**{**raw, "sheet": sheet, "days": days})
