"""Operators find somebody by whatever they have, and read what happened, at any size."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dbcore import failed_operations
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, pending_transfers, users
from dbcore.ledger.users import Profile, UserRef
from dbcore.people import card, lists, movements, refusals, search
from dbcore.people.acts import Act, freeze
from dbcore.people.lists import Page, TransferFilters, UserFilters
from dbcore.people.movements import Filters
from tests.dbcore.conftest import Person, Sql


def everything(page: Callable[[int | None], Page[Any]]) -> Iterator[Any]:
    """All items, page after page."""
    found = page(None)
    yield from found.items
    while found.next_before is not None:
        found = page(found.next_before)
        yield from found.items


def names(engine: GuardedEngine, text: str) -> list[tuple[str | None, str]]:
    return [(each.person.username, each.by) for each in search.search(engine, text)]


def send(engine: GuardedEngine, sender: Profile, recipient: Profile, amount: int, memo: str = "") -> int:
    outcome = ledger.transfer(
        engine,
        key=f"key-{uuid.uuid4().hex}",
        sender_telegram_id=sender.telegram_id,
        recipient_telegram_id=recipient.telegram_id,
        amount=amount,
        memo=memo,
    )
    assert outcome.transfer_id is not None
    return outcome.transfer_id


def test_one_search_finds_somebody_by_whatever_an_operator_has(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann, bob = person(100, "ann"), person(0, "bob")
    users.get_or_create(engine, profile=Profile(77, "carol_b", "Bobby Tables_100%"))
    number = send(engine, ann, bob, 5)
    ((key,),) = sql("SELECT idempotency_key FROM transfers WHERE id = %s", number)
    failed_operations.record(
        engine,
        job_id="j",
        kind="balances.show",
        reference="7F3KQ2MA",
        telegram_id=77,
        error="e",
        payload={"fields": {}},
    )
    sql(
        "INSERT INTO payment_events (kind, charge_id, telegram_id, amount, currency, payload, details, recorded_by, "
        "said_at) VALUES ('paid', 'stx-charge-1', 77, 1, 'XTR', '', '{}', 'j', now())"
    )
    both = {("ann", "transfer"), ("bob", "transfer")}
    assert names(engine, "@BOB") == names(engine, "t.me/bob") == [("bob", "username")]
    assert names(engine, "bob") == [("bob", "username"), ("carol_b", "name")]
    assert names(engine, str(ann.telegram_id)) == [("ann", "telegram_id")]
    assert {*names(engine, f"#{number}")} == {*names(engine, str(number))} == both
    assert {name for name, _ in names(engine, key)} == {"ann", "bob"}
    assert names(engine, "7f3kq2ma") == [("carol_b", "job")]
    assert names(engine, "stx-charge-1") == [("carol_b", "charge")]
    assert names(engine, "tables_1") == names(engine, "les_100%") == [("carol_b", "name")]
    for nothing in ("", " ", "%", "_", "'; DROP TABLE users; --", "#", "\x00", "99999999999999999999"):
        assert [each for each in names(engine, nothing) if each[0] != "carol_b"] == []


def test_movements_are_paged_by_key_and_filtered(engine: GuardedEngine, person: Person) -> None:
    ann, bob, eve = person(1_000, "ann"), person(500, "bob"), person(500, "eve")
    for amount in range(1, 6):
        send(engine, ann, bob, amount, f"lunch {amount}")
    send(engine, eve, ann, 50, "Rent")
    everything = []
    before = None
    while True:
        page = movements.movements(engine, ann.telegram_id, before=before, limit=3)
        everything += page.movements
        if (before := page.next_before) is None:
            break
    assert [each.amount for each in everything] == [50, -5, -4, -3, -2, -1, 1_000]
    assert [each.version for each in everything] == [7, 6, 5, 4, 3, 2, 1]
    assert everything[-1].system_account == "house"
    assert everything[0].counterparty is not None
    assert (everything[0].counterparty.username, everything[0].memo) == ("eve", "Rent")

    def found(**filters: Any) -> list[int]:
        wanted = Filters(**filters)
        return [
            each.amount for each in movements.movements(engine, ann.telegram_id, filters=wanted).movements
        ]

    assert found(direction="in") == [50, 1_000]
    assert found(counterparty=bob.telegram_id, amount_min=2, amount_max=4) == [-4, -3, -2]
    assert found(memo="rent") == [50]
    assert found(kind="credit") == [1_000]
    now = datetime.now(UTC)
    assert found(until=now - timedelta(hours=1)) == []
    assert len(found(since=now - timedelta(hours=1))) == 7
    assert movements.movements(engine, 404).movements == []


def test_a_page_that_a_filter_leaves_empty_says_where_to_go_on(
    engine: GuardedEngine, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(movements, "SCANNED_MAX", 3)
    ann, bob = person(1_000), person()
    for _ in range(7):
        send(engine, ann, bob, 1)
    cursors, found = [], []
    before = None
    while True:
        page = movements.movements(engine, ann.telegram_id, before=before, filters=Filters(kind="credit"))
        found += page.movements
        if (before := page.next_before) is None:
            break
        cursors.append(before)
    assert cursors == [6, 3]
    assert [each.amount for each in found] == [1_000]


def test_a_page_of_movements_reads_an_index_and_no_table(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    ann = person(1)
    ((account,),) = sql(
        "SELECT a.id FROM accounts a JOIN users u ON u.id = a.user_id WHERE u.telegram_id = %s",
        ann.telegram_id,
    )
    # What millions of rows on one account and elsewhere look like to the planner.
    sql(
        "ALTER TABLE entries DISABLE TRIGGER ALL; ALTER TABLE transfers DISABLE TRIGGER ALL;"
        "INSERT INTO transfers (idempotency_key, fingerprint, from_account_id, to_account_id, amount, currency, kind, "
        "status, memo, actor) SELECT 'k' || i, 'f', (SELECT account_id FROM system_accounts), %(a)s, 1, 'CREDIT', "
        "'credit', 'applied', '', 'a' FROM generate_series(1, 20000) i;"
        "INSERT INTO entries (transfer_id, account_id, amount, balance_after, account_version) "
        "SELECT id, %(a)s, 1, 1 + row_number() OVER (ORDER BY id), 1 + row_number() OVER (ORDER BY id) "
        "FROM transfers WHERE idempotency_key LIKE 'k%%'; ANALYZE entries, transfers, accounts, users".replace(
            "%(a)s", str(account)
        ).replace("%%", "%")
    )
    statement, parameters = movements.page_statement(
        account, 15_000, 50, Filters(memo="rent", direction="in")
    )
    for text in (statement, movements.page_statement(account, 15_000, 50, Filters())[0]):
        plan = "\n".join(
            row[0] for row in sql_with(sql, "EXPLAIN " + text.replace("ballast.", ""), parameters)
        )
        assert "entries_account_id_account_version_key" in plan
        assert "transfers_pkey" in plan
        assert "Seq Scan on entries" not in plan
        assert "Seq Scan on transfers" not in plan


def sql_with(sql: Sql, statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    for name, value in parameters.items():
        quoted = "NULL" if value is None else str(value) if isinstance(value, int) else f"'{value}'"
        statement = statement.replace(f"%({name})s", quoted)
    return sql(statement)


def test_what_failed_is_told_with_the_reason_in_words(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(100, "ann"), person(0, "bob")
    pending_transfers.create(
        engine, key="p1", sender=ann, recipient=UserRef(username="bob"), amount=500, memo="rent"
    )
    ledger.transfer(
        engine,
        key="t1",
        sender_telegram_id=ann.telegram_id,
        recipient_telegram_id=bob.telegram_id,
        amount=101,
        memo="",
    )
    failed_operations.record(
        engine,
        job_id="j",
        kind="shop.order",
        reference="7F3KQ2MA",
        telegram_id=ann.telegram_id,
        error="no such flower",
        payload={},
    )
    asked = pending_transfers.create(
        engine, key="p2", sender=ann, recipient=UserRef(username="bob"), amount=5, memo=""
    )
    assert asked.token
    person_found = card.find(engine, UserRef(username="ann"))
    assert person_found is not None
    found = refusals.refusals(engine, person_found.user_id, ann.telegram_id)
    assert {(each.what, each.amount, str(each.why), each.settled) for each in found} == {
        ("transfer", 500, "There was not enough money.", True),
        ("ledger", 101, "There was not enough money.", True),
        ("job", None, "shop.order: no such flower", False),
    }
    (waiting,) = card.unconfirmed(engine, person_found.user_id)
    assert waiting.amount == 5
    assert waiting.recipient is not None
    assert waiting.recipient.username == "bob"
    assert refusals.refusals(engine, 0, bob.telegram_id) == []


def test_lists_are_paged_by_key_filtered_and_read_to_their_end(
    engine: GuardedEngine, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "SCANNED_MAX", 2)
    people = [person(balance, f"user{balance}") for balance in (1, 20, 300, 4_000, 50_000)]
    freeze(engine, Act("f", "operator", "", 0.0), target=UserRef(username="user300"))
    send(engine, people[4], people[0], 7)

    def listed(**filters: Any) -> list[int]:
        wanted = UserFilters(**filters)
        return [
            each.balance
            for each in everything(lambda before: lists.users(engine, before=before, limit=3, filters=wanted))
        ]

    assert listed() == [49_993, 4_000, 300, 20, 8]
    assert listed(frozen=True) == [300]
    assert listed(balance_min=20, balance_max=4_000, frozen=False) == [4_000, 20]
    assert listed(status="blocked") == []
    made = [
        *everything(
            lambda before: lists.transfers(
                engine, before=before, limit=1, filters=TransferFilters(amount_min=5, status="applied")
            )
        )
    ]
    assert [each.amount for each in made] == [7, 50_000, 4_000, 300, 20]
    assert made[0].sender is not None
    assert made[0].sender.username == "user50000"
    assert made[1].sender is None
    only = lists.transfer(engine, made[0].id)
    assert only == made[0]
    assert lists.left_to_reverse(engine, made[0].id) == 7
    assert lists.transfer(engine, 10**9) is None
