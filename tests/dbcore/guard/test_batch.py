"""One transaction for several keys: each takes effect once, whatever the others do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from dbcore import Adjustment, BatchTx, Effect, Refuse, Transfer, UsageError
from dbcore.guard.batch import TransactMany
from dbcore.guard.retries import RETRIES
from tests.dbcore.conftest import Person
from tests.dbcore.guard.conftest import COMMITTED_UNHEARD, DEBIT, Bank, in_threads, pid_of

pytestmark = pytest.mark.usefixtures("audited")

Work = Callable[[BatchTx, list[str]], Sequence[Any]]


def transact(bank: Bank, work: Work, *keys: str, name: str = "gift") -> list[Effect[Any]]:
    return TransactMany.run_many(
        bank.guard.engine, work, keys=keys, name=name, deadline_seconds=None, policies=RETRIES
    )


def debit(tx: BatchTx, new: list[str]) -> list[str]:
    for _ in new:
        tx.session.execute(DEBIT)
    return [f"result of {key}" for key in new]


def test_the_work_gets_the_keys_that_are_new_and_the_others_have_their_first_results(bank: Bank) -> None:
    got: list[list[str]] = []

    def work(tx: BatchTx, new: list[str]) -> list[str]:
        got.append(new)
        return debit(tx, new)

    assert transact(bank, work, "c", "a") == [
        Effect("result of c", replayed=False),
        Effect("result of a", replayed=False),
    ]
    assert transact(bank, work, "d", "a", "b", "c") == [
        Effect(f"result of {key}", replayed=key in "ac") for key in "dabc"
    ]
    assert transact(bank, work, "a", "b") == [Effect(f"result of {key}", replayed=True) for key in "ab"]
    assert got == [["c", "a"], ["d", "b"]]
    assert (bank.balance(), bank.keys()) == (60, ["a", "b", "c", "d"])


def test_a_commit_without_an_answer_took_effect_once_for_each_key(bank: Bank) -> None:
    mails: list[int] = []

    def work(tx: BatchTx, new: list[str]) -> list[str]:
        tx.after_commit(lambda: mails.append(len(new)))
        return debit(tx, new)

    bank.proxy.add(COMMITTED_UNHEARD)
    assert transact(bank, work, "a", "b") == [Effect(f"result of {key}", replayed=False) for key in "ab"]
    assert (bank.balance(), mails) == (80, [2])


def test_the_whole_is_run_again_after_a_loss_in_its_middle(bank: Bank) -> None:
    calls: list[int] = []

    def work(tx: BatchTx, new: list[str]) -> list[str]:
        calls.append(len(new))
        done = debit(tx, new)
        if len(calls) == 1:
            bank.terminate(pid_of(tx.session))
        tx.session.execute(text("SELECT 1"))
        return done

    transact(bank, work, "a", "b")
    assert (bank.balance(), calls) == (80, [2, 2])


def test_calls_at_once_with_keys_in_common_do_each_key_once(bank: Bank) -> None:
    bank.sql("UPDATE bank_accounts SET balance = 1000")
    orders = [["a", "b", "c"], ["c", "b", "a"], ["b", "d", "a"], ["d", "c"]]
    turns = iter(orders * 3)
    outcomes = in_threads(12, lambda: transact(bank, debit, *next(turns)))
    assert all(isinstance(outcome, list) for outcome in outcomes), outcomes
    new = [effect.value for effects in outcomes for effect in effects if not effect.replayed]
    assert sorted(new) == [f"result of {key}" for key in "abcd"]
    assert bank.balance() == 960


def test_what_one_key_does_wrong_is_applied_for_none_and_recorded_for_none(bank: Bank) -> None:
    def refuse(tx: BatchTx, new: list[str]) -> list[str]:
        debit(tx, new)
        raise Refuse("sold out")

    cases: list[tuple[Callable[..., Any], type[Exception]]] = [
        (refuse, Refuse),
        (lambda tx, new: debit(tx, new)[1:], UsageError),
        (lambda tx, new: [*debit(tx, new)[1:], object()], UsageError),
        (lambda tx, new: None, UsageError),
    ]
    for work, error in cases:
        with pytest.raises(error):
            transact(bank, work, "a", "b")
    assert (bank.balance(), bank.keys()) == (100, [])
    with pytest.raises(Refuse, match="sold out"):
        transact(bank, refuse, "a")  # of one key a refusal is its answer from then on
    assert bank.keys() == ["a"]
    with pytest.raises(Refuse, match="sold out"):
        transact(bank, debit, "b", "a")
    assert transact(bank, debit, "b") == [Effect("result of b", replayed=False)]


def test_a_key_of_another_name_is_refused(bank: Bank) -> None:
    transact(bank, debit, "a")
    with pytest.raises(UsageError, match="belongs to 'gift'"):
        transact(bank, debit, "b", "a", name="other")
    assert bank.keys() == ["a"]


def test_each_movement_of_money_has_the_key_it_belongs_to(bank: Bank, person: Person) -> None:
    ann, bob, cat = (person(1_000).telegram_id for _ in range(3))

    def work(tx: BatchTx, new: list[str]) -> list[Any]:
        credited = tx.ledger.credit_many([Adjustment(cat, 5), Adjustment(ann, 6), None][: len(new)])
        moved = tx.ledger.transfer_many(
            [None, Transfer(bob, ann, 2_000), Transfer(ann, bob, 7)], partial=True
        )
        return [
            [one and one.balance_after, other and other.reason]
            for one, other in zip(credited, moved, strict=True)
        ]

    assert [effect.value for effect in transact(bank, work, "x", "y", "z")] == [
        [1_005, None],
        [1_006, "insufficient_funds"],
        [None, None],
    ]
    kept = bank.sql(
        "SELECT idempotency_key FROM transfers WHERE idempotency_key ~ '^[xyz]#' AND status = 'applied' ORDER BY 1"
    )
    assert [key for (key,) in kept] == ["x#1", "y#1", "z#2"]


def test_movements_that_are_not_one_per_key_are_refused(bank: Bank, person: Person) -> None:
    ann = person(1_000).telegram_id

    def work(count: int, tx: BatchTx, new: list[str]) -> list[Any]:
        return tx.ledger.credit_many([Adjustment(ann, 5)] * count)

    for count in (1, 3):
        with pytest.raises(UsageError, match="one movement per job"):
            transact(bank, partial(work, count), "a", "b")
