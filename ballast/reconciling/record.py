"""What the pages and alarms know of the reconciliation of Stars, in Redis.

    ballast:reconciliation   hash   begun_at: since when a reading is under way; finished: the last one, with the
                                    differences that it left

Times are seconds since 1970. Should Redis lose it, the next reading writes it anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import redis

from dbcore.ledger.star_book import Difference, FinishedReading
from dbcore.redis_client import redis_time

KEY = "ballast:reconciliation"

KEPT_MAX = 500
"""Differences, open ones first. `ballast reconcile --csv` has all of them."""


@dataclass(frozen=True, slots=True)
class Finished:
    """counted -- open differences by their kind. bookable -- how many of them the ledger books by their charge ID.
    differences -- as JSON values, at most KEPT_MAX, open ones first.

    at -- when the reading ended. looked_at -- when the differences were counted last.
    """

    at: float
    looked_at: float
    stars: int
    nanostars: int
    transactions: int
    handed_in: int
    counted: dict[str, int]
    bookable: int
    differences: tuple[dict[str, Any], ...]

    @property
    def open(self) -> int:
        return sum(self.counted.values())


@dataclass(frozen=True, slots=True)
class Record:
    """None: no reading is under way, or none was finished."""

    begun_at: float | None = None
    finished: Finished | None = None


def read(client: redis.Redis) -> Record:
    """Raises redis.RedisError."""
    kept = cast("dict[bytes, bytes]", client.hgetall(KEY))
    begun, finished = kept.get(b"begun_at"), kept.get(b"finished")
    return Record(
        None if begun is None else float(begun), None if finished is None else _finished(json.loads(finished))
    )


def note_begun(client: redis.Redis) -> None:
    """Raises redis.RedisError."""
    client.hsetnx(KEY, "begun_at", str(redis_time(client)))


def keep(client: redis.Redis, reading: FinishedReading, found: Sequence[Difference]) -> Finished:
    """Of the last finished reading. Raises redis.RedisError."""
    left = [each for each in found if each.accepted_by is None]
    finished = Finished(
        at=reading.finished_at,
        looked_at=redis_time(client),
        stars=reading.stars,
        nanostars=reading.nanostars,
        transactions=reading.transactions,
        handed_in=reading.handed_in,
        counted=dict(Counter(each.kind.value for each in left)),
        bookable=sum(each.is_bookable for each in left),
        differences=tuple(described(each) for each in found[:KEPT_MAX]),
    )
    client.hset(KEY, "finished", json.dumps(asdict(finished)))
    return finished


def note_ended(client: redis.Redis) -> None:
    """No reading is under way. Raises redis.RedisError."""
    client.hdel(KEY, "begun_at")


def described(each: Difference) -> dict[str, Any]:
    """As JSON values, which are the columns of the CSV too."""
    return {
        "difference": each.kind.value,
        "charge_id": each.charge_id,
        "telegram_stars": each.their_stars,
        "telegram_nanostars": each.their_nanostars,
        "ledger_stars": each.our_stars,
        "telegram_user_id": each.their_telegram_id,
        "ledger_user_id": each.our_telegram_id,
        "made_at": None if each.made_at is None else each.made_at.isoformat(),
        "is_booked_by_charge_id": each.is_bookable,
        "accepted_by": each.accepted_by,
    }


COLUMNS = (
    "difference",
    "charge_id",
    "telegram_stars",
    "telegram_nanostars",
    "ledger_stars",
    "telegram_user_id",
    "ledger_user_id",
    "made_at",
    "is_booked_by_charge_id",
    "accepted_by",
)


def _finished(raw: dict[str, Any]) -> Finished:
    return Finished(**{**raw, "differences": tuple(raw["differences"])})
