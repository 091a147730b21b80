"""Which balance is known of several that were seen. On a real Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from dbcore.ledger.balance_cache import BalanceCache, BalanceSnapshot

LONG_AGO, LATELY = 120.0, 60.0


@pytest.fixture
def balances(redis_url: str) -> Iterator[BalanceCache]:
    with redis.Redis.from_url(redis_url) as client:
        yield BalanceCache(client)


def read(balance: int, version: int, currency: str = "CREDIT") -> BalanceSnapshot:
    return BalanceSnapshot(7, currency, balance, version)


def known(balances: BalanceCache, currency: str = "CREDIT") -> int | None:
    last = balances.last(7, currency)
    return None if last is None else last[0]


def test_of_two_readings_the_newer_version_stays_with_its_time(balances: BalanceCache) -> None:
    balances.note(read(1_000, version=5), ago_seconds=LATELY)
    before = balances.last(7, "CREDIT")
    assert before is not None
    assert before[0] == 1_000
    assert abs(time.time() - LATELY - before[1]) < 30
    balances.note(read(500, version=4), ago_seconds=LONG_AGO)
    assert balances.last(7, "CREDIT") == before


def test_the_newer_version_stays_in_whatever_order_they_come(balances: BalanceCache) -> None:
    balances.note(read(500, version=6), ago_seconds=LONG_AGO)
    balances.note(read(1_000, version=5), ago_seconds=LATELY)  # before the change, and told after it
    assert known(balances) == 500
    balances.note(read(700, version=7), ago_seconds=LATELY)
    assert known(balances) == 700


def test_a_balance_seen_again_is_of_the_later_time(balances: BalanceCache) -> None:
    balances.note(read(500, version=6), ago_seconds=LATELY)
    later = balances.last(7, "CREDIT")
    balances.note(read(500, version=6), ago_seconds=LONG_AGO)
    assert balances.last(7, "CREDIT") == later


def test_each_currency_has_its_own(balances: BalanceCache) -> None:
    balances.note(read(1_000, version=5), read(3, version=9, currency="POINT"), ago_seconds=LATELY)
    assert (known(balances), known(balances, "POINT"), known(balances, "EURO")) == (1_000, 3, None)


def test_what_is_reserved_is_of_the_latest_reading_and_who_did_not_read_it_leaves_it(
    balances: BalanceCache,
) -> None:
    def held() -> int:
        return balances.held(7, "CREDIT")

    assert held() == 0
    balances.note(BalanceSnapshot(7, "CREDIT", 1_000, 5, 300), ago_seconds=LATELY)
    balances.note(BalanceSnapshot(7, "CREDIT", 1_000, 5, 100), ago_seconds=LONG_AGO)
    assert held() == 300, "without a new version: a hold is no entry"
    balances.note(BalanceSnapshot(7, "CREDIT", 900, 6), ago_seconds=0)
    assert (held(), known(balances)) == (300, 900)
    balances.note(BalanceSnapshot(7, "CREDIT", 900, 6, 0), ago_seconds=0)
    assert held() == 0
