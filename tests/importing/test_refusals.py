"""The ledger's rules are the same by ledger_post, one operation at a time, and by an import, many at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.importing.booking import Booker
from dbcore.importing.spool import Movement, Person
from dbcore.ledger.users import Profile, get_or_create
from dbcore.schema import MAX_BALANCE
from tests.dbcore.conftest import Sql

ONE, TWO = 1, 2
KEY = "history:shop:7"

Post = Callable[[int, int], str | None]
"""Moves an amount on a person's account under KEY. Why it was refused."""


@pytest.fixture(params=["ledger_post", "import"])
def post(request: pytest.FixtureRequest, engine: GuardedEngine, sql: Sql) -> Post:
    def by_ledger_post(person: int, amount: int) -> str | None:
        call = "SELECT * FROM ledger_adjust(%s, %s, %s, NULL, %s, %s, '', 'import:shop')"
        (row,) = sql(call, KEY, f"{person} {amount}", person, amount, engine.currency)
        return None if row[1] == "replayed" else row[2]

    def by_import(person: int, amount: int) -> str | None:
        (booked,) = sql(
            "SELECT coalesce(sum(e.amount), 0)::bigint FROM entries e JOIN transfers t ON t.id = e.transfer_id "
            "JOIN accounts a ON a.id = e.account_id JOIN users u ON u.id = a.user_id "
            "WHERE t.actor = 'import:shop' AND u.telegram_id = %s",
            person,
        )[0]
        someone = Person(person, 1, booked + amount, None, None, None, None, None, None)
        movement = Movement("7", 1, person, amount, "2024-05-01T00:00:00+00:00", None)
        (found,) = Booker(engine, "shop", settle=True, dry=False).book([someone], [movement])
        return found.refused

    for person in (ONE, TWO):
        get_or_create(engine, profile=Profile(person, None, "Somebody"))
    return by_ledger_post if request.param == "ledger_post" else by_import


def set_balance(sql: Sql, person: int, balance: int) -> None:
    sql(
        "UPDATE accounts SET balance = %s WHERE user_id = (SELECT id FROM users WHERE telegram_id = %s)",
        balance,
        person,
    )


def state(sql: Sql) -> list[tuple[Any, ...]]:
    return sql("SELECT balance, version FROM accounts WHERE user_id IS NOT NULL ORDER BY id")


@pytest.mark.parametrize(
    ("balance", "amount", "reason"),
    [
        (100, -101, "insufficient_funds"),
        (100, -100, None),
        (MAX_BALANCE - 5, 6, "balance_overflow"),
        (MAX_BALANCE - 5, 5, None),
    ],
)
def test_a_balance_stays_between_its_floor_and_the_most(
    post: Post, sql: Sql, balance: int, amount: int, reason: str | None
) -> None:
    set_balance(sql, ONE, balance)
    assert post(ONE, amount) == reason
    assert state(sql) == [(balance, 0) if reason else (balance + amount, 1), (0, 0)]


def test_a_key_that_is_booked_on_another_account_is_refused(post: Post, sql: Sql) -> None:
    assert post(ONE, 5) is None
    assert post(TWO, 5) == "key_reused"
    assert state(sql) == [(5, 1), (0, 0)]


def test_a_key_that_somebody_else_used_is_refused(post: Post, sql: Sql) -> None:
    (row,) = sql("SELECT r_status FROM ledger_adjust(%s, 'x', %s, NULL, 3, 'CREDIT', '', 'admin')", KEY, ONE)
    assert row == ("applied",)
    assert post(ONE, 5) == "key_reused"
    assert state(sql) == [(3, 1), (0, 0)]


@pytest.mark.parametrize(("column", "amount"), [("sending_frozen", -5), ("receiving_frozen", 5)])
def test_a_frozen_account_is_left_alone(post: Post, sql: Sql, column: str, amount: int) -> None:
    set_balance(sql, ONE, 100)
    sql(f"UPDATE accounts SET {column} = true WHERE user_id IS NOT NULL")
    assert post(ONE, amount) == ("account_frozen" if amount < 0 else "recipient_frozen")
    assert state(sql) == [(100, 0), (0, 0)]
