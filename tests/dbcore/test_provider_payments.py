"""Payments by providers on a real database: each event brings the ledger to where its payment stands, in any order."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, provider_payments
from dbcore.ledger.audit import audit
from dbcore.ledger.books import balance_sheet
from dbcore.ledger.provider_payments import (
    DisputeOutcome,
    DisputeState,
    ProviderCharge,
    ProviderDispute,
    ProviderEvent,
    ProviderOutcome,
)
from dbcore.ledger.users import UserRef
from dbcore.outcomes import OutcomeStatus, RejectionReason
from tests.dbcore.conftest import Sql

PAID = ProviderCharge(
    payment_id="pi_1",
    telegram_id=7,
    paid=1250,
    paid_currency="USD",
    amount=100_003,
    refunded=0,
    fee=None,
    paid_at=1_700_000_000,
)
_numbers = itertools.count(1)


def told(
    engine: GuardedEngine,
    charge: ProviderCharge | None = PAID,
    *,
    event_id: str | None = None,
    mark: str = "m",
    job_id: str | None = None,
) -> ProviderOutcome:
    number = next(_numbers)
    event = ProviderEvent("stripe", event_id or f"evt_{number}", mark, {"n": number})
    return provider_payments.book(engine, event, charge, job_id=job_id or f"job-{number}")


def sheet(engine: GuardedEngine) -> dict[str, int]:
    return {each.account: each.balance for each in balance_sheet(engine)}


@pytest.fixture(autouse=True)
def _audited(engine: GuardedEngine, database_url: str) -> Iterator[None]:
    yield
    assert [finding for finding in audit(database_url) if not finding.ok] == []


def test_a_payment_told_by_many_events_is_one_credit(engine: GuardedEngine) -> None:
    outcomes = [told(engine) for _ in range(3)]
    assert [each.credited for each in outcomes] == [PAID.amount, 0, 0]
    assert {each.number for each in outcomes} == {outcomes[0].number}
    assert sheet(engine) == {"users": PAID.amount, "provider:stripe": -PAID.amount}


def test_a_job_that_runs_again_says_what_it_did(engine: GuardedEngine) -> None:
    first = told(engine, event_id="evt", job_id="job")
    again = told(engine, event_id="evt", job_id="job")
    assert (first.credited, again.credited, again.event_is_new) == (PAID.amount, PAID.amount, True)
    other = told(engine, event_id="evt", job_id="another")
    assert (other.credited, other.event_is_new, other.status) == (0, False, OutcomeStatus.REPLAYED)


def test_an_event_with_other_words_books_nothing(engine: GuardedEngine, sql: Sql) -> None:
    told(engine, event_id="evt")
    forged = told(engine, replace(PAID, payment_id="pi_2"), event_id="evt", mark="other")
    assert (forged.contradicts, forged.reason) == (True, RejectionReason.KEY_REUSED)
    assert sheet(engine)["users"] == PAID.amount
    assert sql("SELECT event_id FROM provider_events WHERE contradicted_at IS NOT NULL") == [("evt",)]


def test_a_payment_told_with_another_sum_or_payer_books_nothing(engine: GuardedEngine) -> None:
    told(engine)
    for other in (replace(PAID, paid=1251), replace(PAID, telegram_id=8), replace(PAID, amount=5)):
        outcome = told(engine, other)
        assert (outcome.contradicts, outcome.reason) == (False, RejectionReason.KEY_REUSED)
    assert sheet(engine)["users"] == PAID.amount


@pytest.mark.parametrize("seed", range(20))
def test_events_in_any_order_and_number_end_where_the_payment_stands(
    engine: GuardedEngine, seed: int
) -> None:
    told(engine, replace(PAID, payment_id="other"))
    states = [
        PAID,
        replace(PAID, fee=59),
        replace(PAID, refunded=400),
        replace(PAID, refunded=401, fee=59),
        replace(PAID, refunded=1250),
    ]
    chance = random.Random(seed)
    history = states + chance.choices(states, k=5)
    chance.shuffle(history)
    taken = sum(told(engine, each).taken for each in history)
    assert taken == PAID.amount
    fee = round(PAID.amount * 59 / PAID.paid)
    assert sheet(engine) == {
        "users": PAID.amount,
        "provider:stripe": fee - PAID.amount,
        "provider_fees": -fee,
    }


def test_a_refund_that_comes_first_books_its_payment_too(engine: GuardedEngine) -> None:
    outcome = told(engine, replace(PAID, refunded=PAID.paid))
    assert (outcome.credited, outcome.taken, outcome.balance) == (PAID.amount, PAID.amount, 0)
    assert told(engine).credited == 0


def test_a_refund_of_what_was_spent_is_a_debt(engine: GuardedEngine) -> None:
    told(engine)
    ledger.adjust(engine, key="spent", target=UserRef(telegram_id=7), amount=-PAID.amount, memo="", actor="t")
    outcome = told(engine, replace(PAID, refunded=625))
    assert (outcome.taken, outcome.balance) == (50_001, -50_001)


def test_threads_that_tell_the_same_at_once_credit_once(engine: GuardedEngine) -> None:
    outcomes: list[ProviderOutcome] = []
    threads = [threading.Thread(target=lambda: outcomes.append(told(engine))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.credited for each in outcomes) == [0] * 5 + [PAID.amount]


def test_what_is_no_payment_of_ours_is_recorded_and_not_booked(engine: GuardedEngine) -> None:
    outcome = told(engine, None, event_id="evt")
    assert (outcome.credited, outcome.number, outcome.event_is_new) == (0, None, True)
    assert sheet(engine) == {}


def test_an_amount_that_no_account_can_have_is_refused(engine: GuardedEngine) -> None:
    for wrong in (replace(PAID, amount=0), replace(PAID, refunded=1251), replace(PAID, amount=2**62)):
        with pytest.raises(ValueError, match="no "):
            told(engine, wrong)


def test_the_list_of_a_provider_is_news_where_the_ledger_is_behind(engine: GuardedEngine) -> None:
    told(engine, replace(PAID, refunded=400), event_id="swept:known")
    told(engine, replace(PAID, payment_id="pi_2", fee=5))
    listed = [
        {"place": place, "event_id": event, "payment_id": payment, "refunded": refunded, "fee": fee}
        for place, (event, payment, refunded, fee) in enumerate(
            [
                ("a", "pi_1", 0, None),  # behind the ledger
                ("b", "pi_1", 400, None),
                ("c", "pi_1", 401, None),
                ("d", "pi_1", 400, 9),
                ("e", "pi_2", 0, 5),
                ("f", "pi_3", 0, None),
                ("swept:known", "pi_4", 0, None),
            ]
        )
    ]
    found = engine.call(
        lambda connection: provider_payments.news(connection, engine.schema, "stripe", listed),
        name="t",
        replayable=True,
    )
    assert found == [2, 3, 5]


def test_a_sweep_is_remembered_and_never_goes_back(engine: GuardedEngine) -> None:
    assert provider_payments.swept_to(engine, "stripe") is None
    provider_payments.note_swept(engine, "stripe", 2_000.0)
    provider_payments.note_swept(engine, "stripe", 1_000.0)
    assert provider_payments.swept_to(engine, "stripe") == 2_000.0


def disputed(
    engine: GuardedEngine,
    state: DisputeState,
    amount: int = PAID.paid,
    *,
    dispute_id: str = "dp_1",
    payment_id: str = PAID.payment_id,
    event_id: str | None = None,
    mark: str = "m",
    job_id: str | None = None,
) -> DisputeOutcome:
    number = next(_numbers)
    event = ProviderEvent("stripe", event_id or f"evt_{number}", mark, {"n": number})
    about = ProviderDispute(dispute_id, payment_id, amount, "USD", state)
    return provider_payments.dispute(engine, event, about, job_id=job_id or f"job-{number}")


def test_a_dispute_takes_the_money_once_and_gives_it_back_if_it_is_won(engine: GuardedEngine) -> None:
    told(engine)
    first = disputed(engine, "open", job_id="job", event_id="evt")
    assert (first.taken, first.balance, first.telegram_id, first.number) == (
        PAID.amount,
        0,
        PAID.telegram_id,
        1,
    )
    assert disputed(engine, "open", job_id="job", event_id="evt").taken == PAID.amount, "its answer was lost"
    assert disputed(engine, "open").taken == 0
    assert sheet(engine) == {"users": 0, "provider:stripe": 0}
    won = disputed(engine, "won")
    assert (won.taken, won.balance) == (-PAID.amount, PAID.amount)
    assert disputed(engine, "open").taken == 0, "an older word that comes late"
    assert sheet(engine) == {"users": PAID.amount, "provider:stripe": -PAID.amount}


def test_a_dispute_of_what_was_spent_is_a_debt_that_is_paid_first(engine: GuardedEngine) -> None:
    told(engine)
    payer = UserRef(telegram_id=PAID.telegram_id)
    ledger.adjust(engine, key="spend", target=payer, amount=-PAID.amount, memo="", actor="t")
    assert disputed(engine, "open", 500).balance == -PAID.amount * 500 // PAID.paid + 1
    assert disputed(engine, "lost", 500).taken == 0
    assert ledger.adjust(engine, key="more", target=payer, amount=-1, memo="", actor="t").reason is not None


def test_a_dispute_that_is_told_before_its_payment_is_booked_with_it(engine: GuardedEngine) -> None:
    early = disputed(engine, "open")
    assert (early.telegram_id, early.taken) == (None, 0)
    booked = told(engine)
    assert (booked.credited, booked.disputed, booked.balance) == (PAID.amount, PAID.amount, 0)
    assert disputed(engine, "open", dispute_id="dp_other", payment_id="of another program").number is None


def test_a_dispute_with_other_words_or_two_ends_is_looked_into(engine: GuardedEngine, sql: Sql) -> None:
    told(engine)
    disputed(engine, "open", event_id="evt")
    for wrong in (
        disputed(engine, "open", event_id="evt", mark="other"),
        disputed(engine, "open", 1),
        disputed(engine, "open", payment_id="pi_2"),
    ):
        assert (wrong.reason, wrong.taken) == (RejectionReason.KEY_REUSED, 0)
    disputed(engine, "lost")
    assert disputed(engine, "won").reason is RejectionReason.KEY_REUSED
    assert sheet(engine) == {"users": 0, "provider:stripe": 0}
    assert sql("SELECT count(*) FROM provider_events WHERE problem = 'contradicted'") == [(4,)]


@pytest.mark.parametrize("seed", range(12))
def test_disputes_and_refunds_in_any_order_and_number_take_no_more_than_was_paid(
    engine: GuardedEngine, seed: int
) -> None:
    chance = random.Random(seed)
    refund = chance.choice([0, 300, PAID.paid])
    first, second = chance.randint(1, PAID.paid), chance.randint(1, PAID.paid)
    states: list[DisputeState] = ["won", "lost", "open"]
    ends = [chance.choice(states) for _ in range(2)]
    words = [
        lambda: told(engine),
        lambda: told(engine, replace(PAID, refunded=refund)),
        lambda: disputed(engine, "open", first),
        lambda: disputed(engine, ends[0], first),
        lambda: disputed(engine, "open", second, dispute_id="dp_2"),
        lambda: disputed(engine, ends[1], second, dispute_id="dp_2"),
    ]
    said = words * 2
    chance.shuffle(said)
    with ThreadPoolExecutor(3) as threads:
        for each in [threads.submit(word) for word in said]:
            each.result()
    given_back = PAID.amount if refund == PAID.paid else PAID.amount * refund // PAID.paid
    taken = sum(
        PAID.amount * amount // PAID.paid
        for amount, end in ((first, ends[0]), (second, ends[1]))
        if end != "won"
    )
    left = PAID.amount - given_back - min(taken, PAID.amount - given_back)
    assert sheet(engine).get("users", 0) == left


def test_the_audit_finds_a_dispute_that_was_not_taken(
    engine: GuardedEngine, sql: Sql, database_url: str
) -> None:
    told(engine)
    disputed(engine, "open")
    sql("UPDATE provider_disputes SET state = 'won'")
    wrong = [each for each in audit(database_url) if not each.ok]
    assert [each.name for each in wrong] == ["each payment by a provider has its transfers"]
    assert "disputes take 0, 100003 taken" in wrong[0].offenders[0]
    sql("UPDATE provider_disputes SET state = 'open'")


def test_forgotten_an_event_that_comes_again_books_nothing_more_and_says_what_it_did_not(
    engine: GuardedEngine, sql: Sql
) -> None:
    told(engine, replace(PAID, refunded=250), event_id="evt", job_id="job")
    told(engine, None, event_id="odd")
    told(engine, replace(PAID, paid=1), event_id="other", mark="o")
    before = sheet(engine)
    sql("UPDATE provider_events SET created_at = now() - interval '181 days'")
    assert provider_payments.prune(engine, 180) == 2
    assert provider_payments.prune(engine, 180) == 0
    assert sql("SELECT event_id, problem FROM provider_events") == [("other", "contradicted")]

    again = told(engine, replace(PAID, refunded=250), event_id="evt", job_id="webhook again")
    assert (again.credited, again.taken, again.number) == (0, 0, 1)
    late = told(engine, PAID, event_id="evt of before the refund")
    assert (late.credited, late.taken) == (0, 0)
    changed = told(engine, replace(PAID, telegram_id=8), event_id="evt", job_id="another again")
    assert changed.reason is RejectionReason.KEY_REUSED
    assert sheet(engine) == before


def test_two_that_prune_and_one_that_books_leave_each_other_alone(engine: GuardedEngine, sql: Sql) -> None:
    for number in range(40):
        told(engine, replace(PAID, payment_id=f"pi_{number}"), event_id=f"evt_{number}")
    before = sheet(engine)
    sql("UPDATE provider_events SET created_at = now() - interval '181 days'")
    with ThreadPoolExecutor(4) as threads:
        pruned = [threads.submit(provider_payments.prune, engine, 180) for _ in range(2)]
        again = [
            threads.submit(told, engine, replace(PAID, payment_id=f"pi_{number}"), event_id=f"evt_{number}")
            for number in range(40)
        ]
        assert sum(each.result().credited for each in again) == 0
        assert sum(each.result() for each in pruned) <= 40
    assert sheet(engine) == before


def test_a_fee_that_cannot_be_one_keeps_nobody_from_the_credit(engine: GuardedEngine) -> None:
    told(engine, replace(PAID, fee=2**62))
    assert sheet(engine) == {"users": PAID.amount, "provider:stripe": -PAID.amount}
    told(engine, replace(PAID, fee=125))
    assert sheet(engine)["provider_fees"] == -10_000
