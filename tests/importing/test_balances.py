"""Money: booked once, compared to the last unit, corrected only on demand, and taken back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from ballast import App
from ballast.cli import import_report
from dbcore.guard.engine import GuardedEngine
from dbcore.importing import booked_transfers
from dbcore.importing.booking import Booker
from dbcore.importing.sources import SourceError
from dbcore.importing.spool import Person
from dbcore.ledger import ledger, users
from tests.dbcore.conftest import Sql
from tests.importing.conftest import RunImport

Balances = Callable[[], dict[int, int]]

TWO = "telegram_id,balance\n1,12.50\n2,20\n3,0\n"


def adjust(engine: GuardedEngine, person: int, amount: int, key: str) -> None:
    ledger.adjust(
        engine, key=key, target=users.UserRef(telegram_id=person), amount=amount, memo="", actor="test"
    )


def adjust_by_sql(sql: Sql, person: int, amount: int, key: str) -> None:
    """By a key that only an import may use today."""
    call = "SELECT r_status FROM ledger_adjust(%s, 'earlier', %s, NULL, %s, 'CREDIT', 'Opening balance', 'admin')"
    assert sql(call, key, person, amount) == [("applied",)]


def test_balances_are_booked_and_the_sums_compared(
    run_import: RunImport, balances: Balances, sql: Sql
) -> None:
    imported = run_import(TWO)
    assert imported.agrees
    assert imported.lines[:-1] == [
        "people   3 (3 new)",
        "booked   2 transfers (2 opening balances), 32.50 CREDIT in total",
        "source   32.50 CREDIT",
        "ledger   32.50 CREDIT",
        "differences  none",
    ]
    assert "checks passed" in imported.lines[-1]
    assert balances() == {1: 1250, 2: 2000, 3: 0}
    assert sql("SELECT idempotency_key, kind, actor, memo FROM transfers ORDER BY id") == [
        ("opening:shop:1", "credit", "import:shop", "Opening balance"),
        ("opening:shop:2", "credit", "import:shop", "Opening balance"),
    ]


def test_any_number_of_runs_changes_nothing(run_import: RunImport, engine: GuardedEngine, sql: Sql) -> None:
    def everything() -> list[object]:
        return [
            sql(f"SELECT * FROM {table} ORDER BY id")
            for table in ("users", "accounts", "transfers", "entries")
        ]

    run_import(TWO)
    adjust(engine, 1, -250, "spent since")
    before = everything()
    for options in ({}, {"settle": True}, {"dry": True}):
        imported = run_import(TWO, **options)
        assert imported.agrees
        assert "(0 " in imported.lines[0]
    assert everything() == before


def test_a_dry_run_says_what_would_be_and_writes_nothing(run_import: RunImport, sql: Sql) -> None:
    imported = run_import(TWO, dry=True)
    assert imported.lines == [
        "people   3 (3 would be new)",
        "to book  2 transfers (2 opening balances), 32.50 CREDIT in total",
        "source   32.50 CREDIT",
        "ledger   32.50 CREDIT",
        "differences  none",
    ]
    assert [sql(f"SELECT count(*) FROM {table}") for table in ("users", "accounts", "transfers")] == [
        [(0,)]
    ] * 3


def test_what_changed_since_is_listed_and_booked_on_demand(
    run_import: RunImport, engine: GuardedEngine, balances: Balances, sql: Sql
) -> None:
    run_import(TWO)
    adjust(engine, 1, 100, "already on Ballast")
    later = "telegram_id,balance\n1,10.00\n2,25\n3,1\n4,7\n"
    imported = run_import(later)
    assert not imported.agrees
    assert imported.lines[:2] == [
        "1: 10.00 CREDIT in the source, 12.50 CREDIT booked: -2.50 CREDIT",
        "2: 25.00 CREDIT in the source, 20.00 CREDIT booked: +5.00 CREDIT",
    ]
    assert "differences  2 people; --settle books them" in imported.lines
    assert balances() == {
        1: 1350,
        2: 2000,
        3: 100,
        4: 700,
    }  # who had nothing booked gets their opening balance
    imported = run_import(later, settle=True)
    assert imported.agrees
    assert balances() == {1: 1100, 2: 2500, 3: 100, 4: 700}
    assert sql(
        "SELECT idempotency_key, kind, amount FROM transfers WHERE idempotency_key LIKE 'settle%' ORDER BY 1"
    ) == [
        ("settle:shop:1:1", "debit", 250),
        ("settle:shop:2:1", "credit", 500),
    ]
    assert run_import(TWO, settle=True).lines[-2] == "differences  none"
    assert balances() == {1: 1350, 2: 2000, 3: 0, 4: 700}


def test_money_that_was_spent_on_ballast_is_not_settled_away(
    run_import: RunImport, engine: GuardedEngine, balances: Balances
) -> None:
    run_import(TWO)
    adjust(engine, 1, -1250, "spent")
    imported = run_import("telegram_id,balance\n1,2.50\n2,21\n", settle=True)
    assert not imported.agrees
    assert imported.lines[0] == (
        "1: 2.50 CREDIT in the source, 12.50 CREDIT booked: -10.00 CREDIT; cannot be booked (insufficient_funds)"
    )
    assert balances() == {1: 0, 2: 2100, 3: 0}


def test_who_is_gone_from_the_source_is_not_lost_in_the_sum(run_import: RunImport) -> None:
    run_import(TWO)
    imported = run_import("telegram_id,balance\n2,20\n")
    assert imported.lines[2:4] == ["source   20.00 CREDIT", "ledger   32.50 CREDIT"]
    assert imported.lines[4] == "         12.50 CREDIT of it for people who are not in the source"


def test_a_negative_balance_comes_as_zero_only_on_demand(run_import: RunImport, balances: Balances) -> None:
    owing = "telegram_id,balance\n1,-3.50\n2,1\n"
    assert not run_import(owing).agrees
    imported = run_import(owing, negative_as_zero=True)
    assert imported.agrees
    assert "         1 person owes 3.50 CREDIT; imported with 0" in imported.lines
    assert balances() == {1: 0, 2: 100}


def test_minor_units_are_taken_as_they_are(run_import: RunImport, balances: Balances) -> None:
    assert run_import([{"telegram_id": 1, "cents": 1250}], names={"balance": "cents"}, minor=True).agrees
    assert balances() == {1: 1250}


def test_two_sources_are_two(run_import: RunImport, balances: Balances) -> None:
    run_import(TWO)
    assert run_import("telegram_id,balance\n1,1\n", source="casino", new_source=True).agrees
    assert balances()[1] == 1350


def test_a_key_that_somebody_else_used_is_told_and_books_nothing(
    run_import: RunImport, engine: GuardedEngine, balances: Balances, sql: Sql
) -> None:
    users.get_or_create(engine, profile=users.Profile(1, None, "Ann"))
    adjust_by_sql(sql, 1, 5, "opening:shop:1")
    imported = run_import(TWO)
    assert not imported.agrees
    assert imported.lines[0].endswith("cannot be booked (key_reused)")
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
    run_import: RunImport, undo: RunImport, engine: GuardedEngine, balances: Balances, sql: Sql
) -> None:
    run_import(TWO)
    run_import("telegram_id,balance\n1,10\n2,20\n", settle=True)
    adjust(engine, 2, -500, "spent")
    assert "to reverse  2 transfers of 1 person" in undo(dry=True).text
    undone = undo()
    assert not undone.agrees
    assert undone.lines[:2] == [
        "2: -20.00 CREDIT cannot be booked (insufficient_funds); the balance is 15.00 CREDIT",
        "reversed  2 transfers of 1 person, -10.00 CREDIT in total",
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
    assert undo().lines[0] == "reversed  0 transfers of 0 people, 0.00 CREDIT in total"
    assert balances() == {1: 0, 2: 0, 3: 0}


def test_what_was_undone_comes_back_only_by_settling(
    run_import: RunImport, undo: RunImport, balances: Balances
) -> None:
    assert undo() == (False, ["There is no transfer of the source shop."])
    run_import(TWO)
    undo()
    assert not run_import(TWO).agrees
    assert balances() == {1: 0, 2: 0, 3: 0}
    assert run_import(TWO, settle=True).agrees
    assert balances() == {1: 1250, 2: 2000, 3: 0}
    undo()
    assert balances() == {1: 0, 2: 0, 3: 0}


def test_a_mistyped_source_credits_nobody_again(run_import: RunImport, balances: Balances) -> None:
    run_import(TWO)
    why = (
        "--source: nothing is booked for shpo, but for shop. Use the name of the run before, or --new-source"
    )
    dry = run_import(TWO, source="shpo", dry=True)
    assert not dry.agrees
    assert dry.lines[-1].startswith(f"Nothing would be imported: {why}")
    with pytest.raises(SourceError, match=why):
        run_import(TWO, source="shpo")
    assert balances() == {1: 1250, 2: 2000, 3: 0}
    assert run_import("telegram_id\n1\n", source="shpo").agrees  # nothing would be booked
    assert run_import("telegram_id,balance\n1,1\n", source="casino", new_source=True).agrees
    assert run_import("telegram_id,balance\n1,1\n", source="casino").agrees


def test_an_opening_balance_of_an_earlier_releases_script_counts(
    run_import: RunImport, undo: RunImport, engine: GuardedEngine, balances: Balances, sql: Sql
) -> None:
    for person, amount in ((1, 1250), (2, 1500)):
        users.get_or_create(engine, profile=users.Profile(person, None, "Somebody"))
        adjust_by_sql(sql, person, amount, f"opening:{person}")
    imported = run_import(TWO)
    assert imported.lines[0] == "2: 20.00 CREDIT in the source, 15.00 CREDIT booked: +5.00 CREDIT"
    assert imported.lines[2:6] == [
        "booked   0 transfers (0 opening balances), 0.00 CREDIT in total",
        "source   32.50 CREDIT",
        "ledger   27.50 CREDIT",
        "         27.50 CREDIT of it booked before under keys such as opening:12345",
    ]
    assert run_import(TWO, settle=True).agrees
    assert run_import("telegram_id,balance\n1,1\n", source="casino", new_source=True).agrees
    assert balances() == {1: 1350, 2: 2000, 3: 0}
    undo()
    assert balances() == {1: 1350, 2: 1500, 3: 0}


def test_keys_of_imports_are_theirs() -> None:
    for key in ("opening:1", "history:a:1", "settle:a:1:1", "reversal:x"):
        with pytest.raises(ValueError, match="belong to `ballast import`"):
            ledger.require_key(key)


def test_sums_that_no_column_holds_are_refused(run_import: RunImport) -> None:
    many = "".join(f"{number},{10**15}\n" for number in range(1, 9_300))
    with pytest.raises(SourceError, match="expected sums of at most 9223372036854775807 minor units"):
        run_import(f"telegram_id,balance\n{many}", minor=True, dry=True)


def test_many_transfers_between_the_sources_own_are_passed_in_windows(
    run_import: RunImport,
    undo: RunImport,
    engine: GuardedEngine,
    balances: Balances,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(booked_transfers, "WINDOW_IDS", 2)
    run_import(TWO)
    for number in range(5):
        adjust(engine, 1, 100, f"live {number}")
    later = TWO.replace("2,20", "2,21")
    assert run_import(later, settle=True).agrees
    assert undo(dry=True).agrees
    assert undo().lines[0] == "reversed  3 transfers of 2 people, -33.50 CREDIT in total"
    assert balances() == {1: 500, 2: 0, 3: 0}


def test_the_import_audits_what_apps_check_too(
    run_import: RunImport, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = App("shop")
    app.audit("lamps", counted="SELECT 1", offenders="SELECT 'a lamp without a price'")
    monkeypatch.setattr(import_report, "installed", lambda: SimpleNamespace(apps=[app]))
    imported = run_import(TWO, audit_passes=False)
    assert not imported.agrees
    assert "a lamp without a price" in imported.text
