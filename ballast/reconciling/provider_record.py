"""What the pages and alarms know of the comparison with providers, in Redis.

    ballast:reconciliation:providers   hash   provider -> the last comparison, with the differences that it left

Times are seconds since 1970. Should Redis lose it, the next look writes it anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import redis

from dbcore.ledger.provider_book import ProviderDifference, ProviderReading
from dbcore.redis_client import redis_time

KEY = "ballast:reconciliation:providers"

KEPT_MAX = 500
"""Differences of a provider, open ones first. `ballast reconcile --provider NAME --csv` has all of them."""


@dataclass(frozen=True, slots=True)
class Compared:
    """at -- when the last reading ended; None: none did, and what is here was told by the provider itself.

    counted -- open differences by their kind. bookable -- how many of them the ledger books.
    differences -- as JSON values, at most KEPT_MAX, open ones first.
    """

    provider: str
    at: float | None
    looked_at: float
    payments: int
    handed_in: int
    counted: dict[str, int]
    bookable: int
    differences: tuple[dict[str, Any], ...]

    @property
    def open(self) -> int:
        return sum(self.counted.values())


def read(client: redis.Redis) -> list[Compared]:
    """By the providers' names. Raises redis.RedisError."""
    kept = cast("dict[bytes, bytes]", client.hgetall(KEY))
    raw = [json.loads(each) for _, each in sorted(kept.items())]
    return [Compared(**{**each, "differences": tuple(each["differences"])}) for each in raw]


def keep(
    client: redis.Redis, provider: str, reading: ProviderReading | None, found: Sequence[ProviderDifference]
) -> Compared:
    """Raises redis.RedisError."""
    left = [each for each in found if each.accepted_by is None]
    compared = Compared(
        provider=provider,
        at=None if reading is None else reading.finished_at,
        looked_at=redis_time(client),
        payments=0 if reading is None else reading.payments,
        handed_in=0 if reading is None else reading.handed_in,
        counted=dict(Counter(each.kind.value for each in left)),
        bookable=sum(each.is_bookable for each in left),
        differences=tuple(described(provider, each) for each in found[:KEPT_MAX]),
    )
    client.hset(KEY, provider, json.dumps(asdict(compared)))
    return compared


COLUMNS = (
    "provider",
    "difference",
    "payment_id",
    "currency",
    "provider_minor_units",
    "provider_refunded",
    "ledger_minor_units",
    "ledger_refunded",
    "provider_user_id",
    "ledger_user_id",
    "made_at",
    "is_booked",
    "accepted_by",
)


def described(provider: str, each: ProviderDifference) -> dict[str, Any]:
    """As JSON values, which are the columns of the CSV too."""
    return {
        "provider": provider,
        "difference": each.kind.value,
        "payment_id": each.payment_id,
        "currency": each.currency,
        "provider_minor_units": each.their_amount,
        "provider_refunded": each.their_refunded,
        "ledger_minor_units": each.our_amount,
        "ledger_refunded": each.our_refunded,
        "provider_user_id": each.their_telegram_id,
        "ledger_user_id": each.our_telegram_id,
        "made_at": None if each.made_at is None else each.made_at.isoformat(),
        "is_booked": each.is_bookable,
        "accepted_by": each.accepted_by,
    }
