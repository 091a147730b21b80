"""Movements: with their dates, in their order, leading from the opening balance to the source's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.importing import undoing
from dbcore.importing.spool import Movement, Person, Spool
from dbcore.ledger import history
from dbcore.ledger.users import Profile
from tests.dbcore.conftest import Sql
from tests.importing.conftest import RunImport

Balances = Callable[[], dict[int, int]]

PEOPLE = "telegram_id,balance,registered_at\n1,12.50,2024-01-01\n2,0,\n3,5,\n"
MOVEMENTS: list[dict[str, Any]] = [
    {"id": 11, "telegram_id": 1, "amount": "-7.50", "made_at": "2024-03-01T00:00:00Z", "memo": "lamp"},
    {"id": 10, "telegram_id": 1, "amount": "10.00", "made_at": "2024-02-01T00:00:00Z", "memo": "top-up"},
    {"id": 12, "telegram_id": 2, "amount": "3.00", "made_at": "2024-02-01T00:00:00Z"},
    {"id": 13, "telegram_id": 2, "amount": "-3.00", "made_at": "2024-02-02T00:00:00Z"},
]


def test_movements_keep_their_dates_and_order(
    run_import: RunImport, engine: GuardedEngine, balances: Balances, sql: Sql
) -> None:
    imported = run_import(PEOPLE, history=MOVEMENTS)
    assert imported.agrees
    assert imported.lines[1] == "booked   6 transfers (2 opening balances), 17.50 CREDIT in total"
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
    run_import: RunImport, balances: Balances, sql: Sql
) -> None:
    run_import(PEOPLE, history=MOVEMENTS)
    later = PEOPLE.replace("1,12.50", "1,9.50")
    movements = [
        *MOVEMENTS,
        {"id": 14, "telegram_id": 1, "amount": "-2.00", "made_at": "2024-04-01T00:00:00Z"},
    ]
    assert not run_import(later, history=movements).agrees
    assert balances()[1] == 1250
    assert run_import(later, history=movements, settle=True).agrees
    assert balances()[1] == 950
    assert sql("SELECT idempotency_key, amount FROM transfers ORDER BY id DESC LIMIT 2") == [
        ("settle:shop:1:1", 100),
        ("history:shop:14", 200),
    ]
    assert run_import(later, history=movements, settle=True).lines[1].startswith("booked   0 transfers")


def test_a_history_that_cannot_have_led_there_is_told_and_left_out_on_demand(
    run_import: RunImport, balances: Balances, sql: Sql
) -> None:
    movements = [
        *MOVEMENTS,
        {"id": 20, "telegram_id": 3, "amount": "9.00", "made_at": "2024-02-01T00:00:00Z"},
        {"id": 20, "telegram_id": 3, "amount": "1.00", "made_at": "2024-02-01T00:00:00Z"},
        {"id": 21, "telegram_id": 9, "amount": "1.00", "made_at": "2024-02-01T00:00:00Z"},
        {"id": 22, "telegram_id": 1, "amount": 0.5, "made_at": "2024-02-01T00:00:00Z"},
        {"id": 23, "telegram_id": 1, "amount": "1", "made_at": None},
    ]
    imported = run_import(PEOPLE, history=movements)
    assert not imported.agrees
    assert [line.partition(", found")[0] for line in imported.lines[:-1]] == [
        "history, line 6: id: expected each movement once",
        "history, line 8: amount: expected an exact amount such as '12.50'",
        "history, line 9: made_at: expected a time",
        "history, line 7: telegram_id: expected one of the people",
        "history of 3: expected movements that lead to their balance",
    ]
    assert sql("SELECT count(*) FROM users") == [(0,)]
    run_import(PEOPLE, history=movements, skip_invalid=True)
    assert balances() == {1: 1250, 2: 0, 3: 500}
    assert sql("SELECT count(*) FROM transfers WHERE idempotency_key LIKE 'history:%'") == [(4,)]


def test_undoing_takes_a_whole_history_back(
    run_import: RunImport, undo: RunImport, balances: Balances
) -> None:
    run_import(PEOPLE, history=MOVEMENTS)
    assert undo().agrees
    assert balances() == {1: 0, 2: 0, 3: 0}


def test_a_movement_that_is_booked_for_somebody_else_is_told(
    run_import: RunImport, balances: Balances
) -> None:
    run_import(PEOPLE, history=MOVEMENTS)
    of_three = [{"id": 10, "telegram_id": 3, "amount": "1.00", "made_at": "2024-05-01T00:00:00Z"}]
    imported = run_import(PEOPLE.replace("3,5", "3,6"), history=of_three, settle=True)
    assert imported.lines[0] == (
        "3: 6.00 CREDIT in the source, 5.00 CREDIT booked: +1.00 CREDIT; cannot be booked (key_reused)"
    )
    assert balances() == {1: 1250, 2: 0, 3: 500}


def test_batches_are_cut_by_movements_too() -> None:
    with Spool() as spool:
        for person, movements in ((1, 2), (2, 9), (3, 1), (4, 0), (5, 3)):
            spool.add_person(Person(person, person, 0, None, None, None, None, None, None))
            for number in range(movements):
                spool.add_movement(Movement(f"{person}-{number}", 1, person, 1, "2024", None))
        cut = [
            ([person.telegram_id for person in people], len(movements))
            for people, movements in spool.batches(people_max=3, movements_max=4)
        ]
    assert cut == [([1], 2), ([2], 9), ([3, 4, 5], 4)]


def test_undoing_is_cut_by_entries_too(
    run_import: RunImport, undo: RunImport, balances: Balances, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_import(PEOPLE, history=MOVEMENTS)  # three, two and one
    monkeypatch.setattr(undoing, "MOVEMENTS_MAX", 3)
    assert undo().agrees
    transactions = (
        "SELECT count(*), count(DISTINCT xmin::text) FROM transfers WHERE idempotency_key LIKE 'reversal:%'"
    )
    assert sql(transactions) == [(6, 2)]
    assert balances() == {1: 0, 2: 0, 3: 0}
