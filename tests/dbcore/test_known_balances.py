"""Which balance is known of several that were seen. On a real Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from dbcore.known_balances import KnownBalances, SeenBalance

LONG_AGO, LATELY = 120.0, 60.0


@pytest.fixture
def balances(redis_url: str) -> Iterator[KnownBalances]:
    with redis.Redis.from_url(redis_url) as client:
        yield KnownBalances(client)


def read(balance: int, version: int, currency: str = "CREDIT") -> SeenBalance:
    return SeenBalance(7, currency, balance, version)


def changed(balance: int | None) -> SeenBalance:
    return SeenBalance(7, "CREDIT", balance, version=None)


def known(balances: KnownBalances, currency: str = "CREDIT") -> int | None:
    last = balances.last(7, currency)
    return None if last is None else last[0]


def test_of_two_readings_the_newer_version_stays_with_its_time(balances: KnownBalances) -> None:
    balances.note(read(1_000, version=5), ago_seconds=LATELY)
    before = balances.last(7, "CREDIT")
    assert before is not None
    assert before[0] == 1_000
    assert abs(time.time() - LATELY - before[1]) < 30
    balances.note(read(500, version=4), ago_seconds=LONG_AGO)
    assert balances.last(7, "CREDIT") == before


def test_what_was_changed_is_known_until_it_is_read_again(balances: KnownBalances) -> None:
    balances.note(read(1_000, version=5), ago_seconds=LONG_AGO)
    balances.note(changed(500), ago_seconds=LATELY)
    assert known(balances) == 500
    balances.note(read(1_000, version=5), ago_seconds=LATELY)  # before the change, and told after it
    assert known(balances) == 500
    balances.note(read(700, version=6), ago_seconds=LATELY)
    assert known(balances) == 700


def test_a_change_makes_a_balance_known_where_none_was(balances: KnownBalances) -> None:
    balances.note(changed(500), ago_seconds=LATELY)
    assert known(balances) == 500


def test_of_changes_whose_order_nobody_knows_none_is_told(balances: KnownBalances) -> None:
    balances.note(changed(500), ago_seconds=LATELY)
    balances.note(changed(600), ago_seconds=LONG_AGO)
    assert known(balances) is None


def test_a_change_of_some_time_ago_makes_the_balance_unknown(balances: KnownBalances) -> None:
    balances.note(read(1_000, version=5), ago_seconds=LONG_AGO)
    balances.note(changed(None), ago_seconds=LATELY)
    assert known(balances) is None


def test_each_currency_has_its_own(balances: KnownBalances) -> None:
    balances.note(read(1_000, version=5), read(3, version=9, currency="POINT"), ago_seconds=LATELY)
    assert (known(balances), known(balances, "POINT"), known(balances, "EURO")) == (1_000, 3, None)
