"""Money: booked once, compared to the last unit, corrected only on demand, and taken back."""

from __future__ import annotations

import threading
from collections.abc import Callable

from dbcore import ledger, users
from dbcore.engine import GuardedEngine
from dbcore.importing.booking import Booker
from dbcore.importing.spool import Person
from tests.importing.conftest import Bring, Sql

Balances = Callable[[], dict[int, int]]

TWO = "telegram_id,balance\n1,12.50\n2,20\n3,0\n"


def adjust(engine: GuardedEngine, person: int, amount: int, key: str) -> None:
    ledger.adjust(
        engine, key=key, target=users.UserRef(telegram_id=person), amount=amount, memo="", actor="test"
    )


def test_balances_are_booked_and_the_sums_compared(bring: Bring, balances: Balances, sql: Sql) -> None:
    brought = bring(TWO)
    assert brought.agrees
    assert brought.lines[:-1] == [
        "people   3, of them 3 new",
        "booked   2 transfers, of them 2 opening balances; together 32.50 CREDIT",
        "source   32.50 CREDIT",
        "ledger   32.50 CREDIT",
        "differ   nobody",
    ]
    assert "checks passed" in brought.lines[-1]
    assert balances() == {1: 1250, 2: 2000, 3: 0}
    assert sql("SELECT idempotency_key, kind, actor, memo FROM transfers ORDER BY id") == [
        ("opening:shop:1", "credit", "import:shop", "Opening balance"),
        ("opening:shop:2", "credit", "import:shop", "Opening balance"),
    ]


def test_any_number_of_runs_changes_nothing(bring: Bring, engine: GuardedEngine, sql: Sql) -> None:
    def everything() -> list[object]:
        return [
            sql(f"SELECT * FROM {table} ORDER BY id")
            for table in ("users", "accounts", "transfers", "entries")
        ]

    bring(TWO)
    adjust(engine, 1, -250, "spent since")
    before = everything()
    for options in ({}, {"settle": True}, {"dry": True}):
        brought = bring(TWO, **options)
        assert brought.agrees
        assert "of them 0" in brought.lines[0]
    assert everything() == before


def test_a_dry_run_says_what_would_be_and_writes_nothing(bring: Bring, sql: Sql) -> None:
    brought = bring(TWO, dry=True)
    assert brought.lines == [
        "people   3, of them 3 would be new",
        "booked   2 transfers would be, of them 2 opening balances; together 32.50 CREDIT",
        "source   32.50 CREDIT",
        "ledger   32.50 CREDIT",
        "differ   nobody",
    ]
    assert [sql(f"SELECT count(*) FROM {table}") for table in ("users", "accounts", "transfers")] == [
        [(0,)]
    ] * 3


def test_what_changed_since_is_listed_and_booked_on_demand(
    bring: Bring, engine: GuardedEngine, balances: Balances, sql: Sql
) -> None:
    bring(TWO)
    adjust(engine, 1, 100, "already on Ballast")
    later = "telegram_id,balance\n1,10.00\n2,25\n3,1\n4,7\n"
    brought = bring(later)
    assert not brought.agrees
    assert brought.lines[:2] == [
        "1: 10.00 CREDIT in the source, 12.50 CREDIT booked: -2.50 CREDIT",
        "2: 25.00 CREDIT in the source, 20.00 CREDIT booked: +5.00 CREDIT",
    ]
    assert "differ   2 people. --settle books what changed" in brought.lines
    assert balances() == {
        1: 1350,
        2: 2000,
        3: 100,
        4: 700,
    }  # who had nothing booked gets their opening balance
    brought = bring(later, settle=True)
    assert brought.agrees
    assert balances() == {1: 1100, 2: 2500, 3: 100, 4: 700}
    assert sql(
        "SELECT idempotency_key, kind, amount FROM transfers WHERE idempotency_key LIKE 'settle%' ORDER BY 1"
    ) == [
        ("settle:shop:1:1", "debit", 250),
        ("settle:shop:2:1", "credit", 500),
    ]
    assert bring(TWO, settle=True).lines[-2] == "differ   nobody"
    assert balances() == {1: 1350, 2: 2000, 3: 0, 4: 700}


def test_money_that_was_spent_on_ballast_is_not_settled_away(
    bring: Bring, engine: GuardedEngine, balances: Balances
) -> None:
    bring(TWO)
    adjust(engine, 1, -1250, "spent")
    brought = bring("telegram_id,balance\n1,2.50\n2,21\n", settle=True)
    assert not brought.agrees
    assert brought.lines[0] == (
        "1: 2.50 CREDIT in the source, 12.50 CREDIT booked: -10.00 CREDIT; cannot be booked (insufficient_funds)"
    )
    assert balances() == {1: 0, 2: 2100, 3: 0}


def test_who_is_gone_from_the_source_is_not_lost_in_the_sum(bring: Bring) -> None:
    bring(TWO)
    brought = bring("telegram_id,balance\n2,20\n")
    assert brought.lines[2:4] == ["source   20.00 CREDIT", "ledger   32.50 CREDIT"]
    assert brought.lines[4] == "         12.50 CREDIT of it for people who are not in the source"


def test_a_negative_balance_comes_as_zero_only_on_demand(bring: Bring, balances: Balances) -> None:
    owing = "telegram_id,balance\n1,-3.50\n2,1\n"
    assert not bring(owing).agrees
    brought = bring(owing, negative_as_zero=True)
    assert brought.agrees
    assert "         1 owe 3.50 CREDIT: are brought with 0" in brought.lines
    assert balances() == {1: 0, 2: 100}


def test_minor_units_are_taken_as_they_are(bring: Bring, balances: Balances) -> None:
    assert bring([{"telegram_id": 1, "cents": 1250}], names={"balance": "cents"}, minor=True).agrees
    assert balances() == {1: 1250}


def test_two_sources_are_two(bring: Bring, balances: Balances) -> None:
    bring(TWO)
    assert bring("telegram_id,balance\n1,1\n", source="casino").agrees
    assert balances()[1] == 1350


def test_a_key_that_somebody_else_used_is_told_and_books_nothing(
    bring: Bring, engine: GuardedEngine, balances: Balances
) -> None:
    users.get_or_create(engine, profile=users.Profile(1, None, "Ann"))
    adjust(engine, 1, 5, "opening:shop:1")
    brought = bring(TWO)
    assert not brought.agrees
    assert brought.lines[0].endswith("cannot be booked (key_reused)")
    assert balances() == {1: 5, 2: 2000, 3: 0}


def test_two_imports_at_once_book_each_balance_once(engine: GuardedEngine, sql: Sql) -> None:
    people = [Person(n, n, 100, None, "P", None, None, None, None) for n in range(1, 301)]
    booker = Booker(engine, "shop", settle=True, dry=False)
    threads = [threading.Thread(target=booker.book, args=(people, [])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sql("SELECT count(*), sum(amount) FROM transfers") == [(300, 30_000)]


def test_undoing_reverses_each_transfer_by_one_that_names_it(
    bring: Bring, undo: Bring, engine: GuardedEngine, balances: Balances, sql: Sql
) -> None:
    bring(TWO)
    bring("telegram_id,balance\n1,10\n2,20\n", settle=True)
    adjust(engine, 2, -500, "spent")
    assert "2 transfers of 1 people would be reversed" in undo(dry=True).text
    undone = undo()
    assert not undone.agrees
    assert undone.lines[:2] == [
        "2: -20.00 CREDIT cannot be booked (insufficient_funds); the balance is 15.00 CREDIT",
        "2 transfers of 1 people are reversed; together -10.00 CREDIT",
    ]
    assert balances() == {1: 0, 2: 1500, 3: 0}
    assert (
        sql(
            "SELECT r.idempotency_key = 'reversal:' || t.idempotency_key, r.amount = t.amount FROM transfers r "
            "JOIN transfers t ON r.memo = 'Reversal of transfer ' || t.id WHERE r.idempotency_key LIKE 'reversal:%'"
        )
        == [(True, True)] * 2
    )
    adjust(engine, 2, 500, "paid back")
    assert undo().agrees
    assert undo().lines[0] == "0 transfers of 0 people are reversed; together 0.00 CREDIT"
    assert balances() == {1: 0, 2: 0, 3: 0}


def test_what_was_undone_comes_back_only_by_settling(bring: Bring, undo: Bring, balances: Balances) -> None:
    assert undo() == (False, ["There is no transfer of the source shop."])
    bring(TWO)
    undo()
    assert not bring(TWO).agrees
    assert balances() == {1: 0, 2: 0, 3: 0}
    assert bring(TWO, settle=True).agrees
    assert balances() == {1: 1250, 2: 2000, 3: 0}
    undo()
    assert balances() == {1: 0, 2: 0, 3: 0}
