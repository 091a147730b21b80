"""`tx.ledger`: money and the author's own rows in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from dbcore import Adjustment, Effect, Refuse, Transfer, Tx, UsageError
from dbcore.guard import effects
from dbcore.ledger import ledger
from dbcore.ledger.users import UserRef
from dbcore.outcomes import OutcomeStatus, RejectionReason
from tests.dbcore.conftest import Person
from tests.dbcore.guard.conftest import COMMITTED_UNHEARD, NOTE, Bank

pytestmark = pytest.mark.usefixtures("audited")


def balances(bank: Bank, *people: int) -> list[int]:
    return bank.guard.transact(lambda tx: [tx.ledger.balance(who) for who in people]).value


def test_money_and_own_rows_happen_once_together(bank: Bank, person: Person) -> None:
    ann = person(1_000).telegram_id

    def redeem(tx: Tx) -> int | None:
        tx.session.execute(NOTE, {"id": 1})
        return tx.ledger.credit(ann, 250, memo="Promo").balance_after

    bank.proxy.add(COMMITTED_UNHEARD)
    assert bank.guard.transact(redeem, key="r", name="shop.redeem") == Effect(1_250, replayed=False)
    assert bank.guard.transact(redeem, key="r", name="shop.redeem") == Effect(1_250, replayed=True)
    assert (balances(bank, ann), bank.notes()) == ([1_250], 1)
    assert bank.sql("SELECT kind, memo, actor FROM transfers WHERE idempotency_key = 'r#1'") == [
        ("credit", "Promo", "shop.redeem")
    ]


def test_a_newcomer_is_registered_and_credited_in_one_transaction(bank: Bank, person: Person) -> None:
    old = person(1_000, "ann_ann").telegram_id

    def welcome(tx: Tx) -> list[int | None]:
        assert tx.ledger.register(old) == 1_000
        assert tx.ledger.register(77, "@ann_ann", "New") == 0
        return [tx.ledger.credit("@ann_ann", 250).balance_after, tx.ledger.register(77, "ann_ann", "New")]

    def fails(tx: Tx) -> None:
        welcome(tx)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bank.guard.transact(fails, key="k")
    assert bank.sql("SELECT count(*) FROM users WHERE telegram_id = 77") == [(0,)]
    for replayed in (False, True):
        assert bank.guard.transact(welcome, key="k") == Effect([250, 250], replayed=replayed)
    assert bank.sql("SELECT telegram_id, first_name FROM users WHERE username = 'ann_ann'") == [(77, "New")]


@pytest.mark.parametrize("nobody", [0, -1, True, 2**52, "77"])
def test_what_is_nobodys_id_is_not_registered(bank: Bank, nobody: Any) -> None:
    with pytest.raises(ValueError, match="a Telegram id of a person"):
        bank.guard.transact(lambda tx: tx.ledger.register(nobody))


def test_each_movement_tells_the_balance_after_it(bank: Bank, person: Person) -> None:
    ann, bob = person(1_000, "ann_ann"), person()
    moved = []

    def work(tx: Tx) -> None:
        moved.append(tx.ledger.debit("@ann_ann", 100))
        moved.append(tx.ledger.transfer(ann.telegram_id, bob.telegram_id, 200, memo="rent"))
        moved.append(tx.ledger.credit(UserRef(telegram_id=bob.telegram_id), 1))
        assert tx.ledger.balance(bob.telegram_id) == 201

    bank.guard.transact(work, key="k")
    assert [(each.minor, each.balance_after, each.recipient_balance_after) for each in moved] == [
        (100, 900, None),
        (200, 700, 200),
        (1, 201, None),
    ]
    assert all(each.applied and each.transfer_id for each in moved)


def test_a_hold_of_one_transaction_is_posted_and_another_voided_by_later_ones(
    bank: Bank, person: Person
) -> None:
    ann, bob = person(1_000).telegram_id, person().telegram_id

    def reserve(tx: Tx) -> list[int]:
        tx.session.execute(NOTE, {"id": 1})
        first = tx.ledger.hold(ann, 600, memo="Order 7", expires_after=timedelta(days=1))
        second = tx.ledger.hold(ann, 300)
        assert (first.available_after, second.available_after, second.expires_at) == (400, 100, None)
        assert (tx.ledger.balance(ann), tx.ledger.available(ann)) == (1_000, 100)
        return [first.hold_id, second.hold_id]

    bank.proxy.add(COMMITTED_UNHEARD)
    held = bank.guard.transact(reserve, key="order", name="shop.order").value
    assert bank.guard.transact(reserve, key="order", name="shop.order") == Effect(held, replayed=True)
    assert bank.notes() == 1

    def deliver(tx: Tx) -> list[int | None]:
        moved = tx.ledger.post(held[0], 500, to=bob)
        tx.ledger.void(held[1])
        return [moved.minor, moved.balance_after, moved.recipient_balance_after]

    bank.proxy.add(COMMITTED_UNHEARD)
    assert bank.guard.transact(deliver, key="deliver") == Effect([500, 500, 500], replayed=False)
    assert bank.guard.transact(deliver, key="deliver") == Effect([500, 500, 500], replayed=True)
    assert bank.guard.transact(lambda tx: tx.ledger.available(ann)).value == 500
    assert bank.sql("SELECT memo, actor FROM transfers WHERE idempotency_key = %s", f"hold:{held[0]}") == [
        ("Order 7", "transact")
    ]


def test_what_a_hold_refuses_rolls_everything_back_and_says_why(bank: Bank, person: Person) -> None:
    ann = person(100).telegram_id
    held = bank.guard.transact(lambda tx: tx.ledger.hold(ann, 60).hold_id, key="h").value
    refusals: list[tuple[str, Callable[[Tx], object]]] = [
        ("insufficient_funds", lambda tx: tx.ledger.hold(ann, 41)),
        ("insufficient_funds", lambda tx: tx.ledger.debit(ann, 41)),
        ("more_than_held", lambda tx: tx.ledger.post(held, 61)),
        ("unknown_hold", lambda tx: tx.ledger.void(held + 100)),
    ]
    for number, (reason, work) in enumerate(refusals):
        with pytest.raises(Refuse) as refused:
            bank.guard.transact(
                lambda tx, work=work, number=number: (  # type: ignore[misc]
                    tx.session.execute(NOTE, {"id": number}),
                    work(tx),
                ),
                key=f"refused-{number}",
            )
        assert refused.value.reason == reason
    assert bank.notes() == 0
    with pytest.raises(UsageError, match="money needs a key"):
        bank.guard.transact(lambda tx: tx.ledger.hold(ann, 1))


def test_a_movement_that_the_ledger_refuses_rolls_everything_back(bank: Bank, person: Person) -> None:
    ann, bob = person(100).telegram_id, person().telegram_id

    def buys(tx: Tx) -> None:
        tx.session.execute(NOTE, {"id": 1})
        tx.ledger.transfer(ann, bob, 60)
        tx.ledger.debit(ann, 60)

    for replayed in (False, True):
        with pytest.raises(Refuse) as refused:
            bank.guard.transact(buys, key="k")
        assert (refused.value.reason, refused.value.replayed) == (
            RejectionReason.INSUFFICIENT_FUNDS,
            replayed,
        )
    with pytest.raises(Refuse, match="no such user"):
        bank.guard.transact(lambda tx: tx.ledger.credit(17, 1), key="k2")
    with pytest.raises(Refuse, match="no such user"):
        bank.guard.transact(lambda tx: tx.ledger.balance(17))
    assert (balances(bank, ann, bob), bank.notes()) == ([100, 0], 0)


def test_a_refused_movement_can_be_caught_and_the_rest_goes_on(bank: Bank, person: Person) -> None:
    ann = person(100).telegram_id

    def work(tx: Tx) -> str:
        with suppress(Refuse):
            tx.ledger.debit(ann, 500)
        tx.ledger.debit(ann, 40)
        return "cheaper"

    assert bank.guard.transact(work, key="k").value == "cheaper"
    assert balances(bank, ann) == [60]


def test_a_savepoint_that_is_rolled_back_takes_its_movements_along(bank: Bank, person: Person) -> None:
    ann = person(100).telegram_id

    def work(tx: Tx) -> int | None:
        with tx.session.begin_nested() as savepoint:
            tx.ledger.credit(ann, 50)
            savepoint.rollback()
        return tx.ledger.credit(ann, 1).balance_after

    assert bank.guard.transact(work, key="k").value == 101


def test_many_are_one_statement_in_their_order(bank: Bank, person: Person) -> None:
    ann, bob, eve = (person(100).telegram_id for _ in range(3))
    chain = [Transfer(ann, bob, 100), Transfer(bob, eve, 200), Transfer(bob, eve, 1), Transfer(eve, ann, 5)]

    def partial(tx: Tx) -> list[str | None]:
        bank.proxy.forget()
        moved = tx.ledger.transfer_many(chain, partial=True)
        assert len(bank.proxy.statements()) == 1
        return [each.reason and each.reason.value for each in moved]

    with pytest.raises(Refuse):
        bank.guard.transact(lambda tx: tx.ledger.transfer_many(chain) and None, key="whole")
    assert balances(bank, ann, bob, eve) == [100, 100, 100]
    assert bank.guard.transact(partial, key="part").value == [None, None, "insufficient_funds", None]
    assert balances(bank, ann, bob, eve) == [5, 0, 295]

    def pays(tx: Tx) -> list[int | None]:
        moved = tx.ledger.credit_many(
            [Adjustment(ann, 10, "a"), Adjustment(bob, 20), Adjustment(eve, 10**18)], partial=True
        )
        moved += tx.ledger.debit_many([Adjustment(eve, 95)])
        assert tx.ledger.credit_many([]) == []
        return [each.balance_after for each in moved]

    assert bank.guard.transact(pays, key="pay").value == [15, 20, None, 200]


def test_money_needs_a_key_and_a_whole_amount(bank: Bank, person: Person) -> None:
    ann = person(100).telegram_id
    with pytest.raises(UsageError, match="money needs a key"):
        bank.guard.transact(lambda tx: tx.ledger.credit(ann, 1))
    for minor in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="minor units"):
            bank.guard.transact(lambda tx: tx.ledger.credit(ann, minor), key="k")  # type: ignore[arg-type]  # noqa: B023
    assert (balances(bank, ann), bank.keys()) == ([100], [])


def test_money_is_not_moved_again_where_the_key_s_row_is_gone(bank: Bank, person: Person) -> None:
    ann = person(100).telegram_id

    def work(tx: Tx) -> int | None:
        tx.session.execute(text("UPDATE bank_accounts SET balance = balance - 1"))
        return tx.ledger.credit(ann, 1).balance_after

    bank.guard.transact(work, key="k")
    bank.sql("DELETE FROM effects")
    with pytest.raises(UsageError, match="knows the key 'k#1' already"):
        bank.guard.transact(work, key="k")
    assert (balances(bank, ann), bank.balance()) == ([101], 99)


def test_the_guard_s_engine_takes_the_ledger_s_functions(bank: Bank, person: Person) -> None:
    ann = person().telegram_id
    outcome = ledger.adjust(
        bank.guard.engine, key="direct", target=UserRef(telegram_id=ann), amount=5, memo="", actor="test"
    )
    assert outcome.status is OutcomeStatus.APPLIED


def test_old_keys_are_forgotten_if_asked_and_some_at_a_time(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        bank.guard.transact(lambda tx: tx.session.execute(NOTE, {"id": number}) and None, key=f"k{number}")  # noqa: B023
    bank.sql("UPDATE effects SET created_at = now() - interval '31 days' WHERE key <> 'k3'")
    monkeypatch.setattr(effects, "PRUNED_AT_ONCE", 2)
    assert [effects.prune(bank.guard.engine, 30) for _ in range(3)] == [2, 1, 0]
    assert bank.keys() == ["k3"]
