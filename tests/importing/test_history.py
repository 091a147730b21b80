"""Movements: with their dates, in their order, leading from the opening balance to the source's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dbcore import history
from dbcore.engine import GuardedEngine
from dbcore.users import Profile
from tests.importing.conftest import Bring, Sql

Balances = Callable[[], dict[int, int]]

PEOPLE = "telegram_id,balance,registered_at\n1,12.50,2024-01-01\n2,0,\n3,5,\n"
MOVEMENTS: list[dict[str, Any]] = [
    {"id": 11, "telegram_id": 1, "amount": "-7.50", "made_at": "2024-03-01T00:00:00Z", "memo": "lamp"},
    {"id": 10, "telegram_id": 1, "amount": "10.00", "made_at": "2024-02-01T00:00:00Z", "memo": "top-up"},
    {"id": 12, "telegram_id": 2, "amount": "3.00", "made_at": "2024-02-01T00:00:00Z"},
    {"id": 13, "telegram_id": 2, "amount": "-3.00", "made_at": "2024-02-02T00:00:00Z"},
]


def test_movements_keep_their_dates_and_order(
    bring: Bring, engine: GuardedEngine, balances: Balances, sql: Sql
) -> None:
    brought = bring(PEOPLE, history=MOVEMENTS)
    assert brought.agrees
    assert brought.lines[1] == "booked   6 transfers, of them 2 opening balances; together 17.50 CREDIT"
    assert balances() == {1: 1250, 2: 0, 3: 500}
    page = history.page(engine, profile=Profile(1, None, "Ann"), upto_version=None, limit=10)
    assert [
        (entry.amount, entry.balance_after, entry.memo, f"{entry.created_at:%Y-%m-%d}")
        for entry in page.entries
    ] == [
        (-750, 1250, "lamp", "2024-03-01"),
        (1000, 2000, "top-up", "2024-02-01"),
        (1000, 1000, "Opening balance", "2024-01-01"),
    ]
    assert sql("SELECT count(*) FROM transfers WHERE idempotency_key = 'history:shop:12'") == [(1,)]


def test_a_second_run_books_new_movements_only_by_settling(
    bring: Bring, balances: Balances, sql: Sql
) -> None:
    bring(PEOPLE, history=MOVEMENTS)
    later = PEOPLE.replace("1,12.50", "1,9.50")
    movements = [
        *MOVEMENTS,
        {"id": 14, "telegram_id": 1, "amount": "-2.00", "made_at": "2024-04-01T00:00:00Z"},
    ]
    assert not bring(later, history=movements).agrees
    assert balances()[1] == 1250
    assert bring(later, history=movements, settle=True).agrees
    assert balances()[1] == 950
    assert sql("SELECT idempotency_key, amount FROM transfers ORDER BY id DESC LIMIT 2") == [
        ("settle:shop:1:1", 100),
        ("history:shop:14", 200),
    ]
    assert bring(later, history=movements, settle=True).lines[1].startswith("booked   0 transfers")


def test_a_history_that_cannot_have_led_there_is_told_and_left_out_on_demand(
    bring: Bring, balances: Balances, sql: Sql
) -> None:
    movements = [
        *MOVEMENTS,
        {"id": 20, "telegram_id": 3, "amount": "9.00", "made_at": "2024-02-01T00:00:00Z"},
        {"id": 20, "telegram_id": 3, "amount": "1.00", "made_at": "2024-02-01T00:00:00Z"},
        {"id": 21, "telegram_id": 9, "amount": "1.00", "made_at": "2024-02-01T00:00:00Z"},
        {"id": 22, "telegram_id": 1, "amount": 0.5, "made_at": "2024-02-01T00:00:00Z"},
        {"id": 23, "telegram_id": 1, "amount": "1", "made_at": None},
    ]
    brought = bring(PEOPLE, history=movements)
    assert not brought.agrees
    assert [line.partition(", found")[0] for line in brought.lines[:-1]] == [
        "history, line 6: id: expected each movement once",
        "history, line 8: amount: expected an exact amount such as '12.50'",
        "history, line 9: made_at: expected a time",
        "history, line 7: telegram_id: expected one of the people",
        "history of 3: expected movements that lead to their balance",
    ]
    assert sql("SELECT count(*) FROM users") == [(0,)]
    bring(PEOPLE, history=movements, skip_invalid=True)
    assert balances() == {1: 1250, 2: 0, 3: 500}
    assert sql("SELECT count(*) FROM transfers WHERE idempotency_key LIKE 'history:%'") == [(4,)]


def test_undoing_takes_a_whole_history_back(bring: Bring, undo: Bring, balances: Balances) -> None:
    bring(PEOPLE, history=MOVEMENTS)
    assert undo().agrees
    assert balances() == {1: 0, 2: 0, 3: 0}
