"""Payments in Stars: each charge is credited once and taken back once, in any order, and no refund is lost."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import errors

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, star_payments, users
from dbcore.ledger.audit import audit
from dbcore.ledger.payments import PaymentKind
from dbcore.ledger.star_payments import StarCharge
from dbcore.ledger.users import Profile, UserRef
from dbcore.outcomes import OutcomeStatus, RejectionReason
from tests.dbcore.conftest import MakeEngine, Person, Sql

PAYER = Profile(7_000_001, "payer", "Payer")
PAID = StarCharge(
    PaymentKind.PAID, "charge-1", PAYER, stars=50, amount=5_000, payload="p", said_at=1_700_000_000
)
REFUNDED = replace(PAID, kind=PaymentKind.REFUNDED)
_examples = itertools.count(1)


def balance_of(engine: GuardedEngine, payer: Profile = PAYER) -> int:
    return users.get_or_create(engine, profile=payer).balance


def debit(engine: GuardedEngine, key: str, amount: int, payer: Profile = PAYER) -> OutcomeStatus:
    target = UserRef(telegram_id=payer.telegram_id)
    return ledger.adjust(engine, key=key, target=target, amount=-amount, memo="", actor="t").status


def test_one_charge_is_one_credit_however_often_and_at_once_it_is_said(
    make_engine: MakeEngine, sql: Sql
) -> None:
    engine = make_engine(settings={"db_pool_size": 4, "db_max_overflow": 4, "db_deadline_seconds": 30})
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda _: star_payments.book(engine, PAID), range(16)))
    assert sorted(outcome.status for outcome in outcomes) == ["applied", *["replayed"] * 15]
    assert len({outcome.payment_id for outcome in outcomes}) == 1
    other = star_payments.book(engine, replace(PAID, charge_id="charge-2"))  # of the same link
    assert (other.status, other.balance_after) == (OutcomeStatus.APPLIED, 10_000)
    assert sql("SELECT name FROM system_accounts ORDER BY name") == [("stars",)]


def test_a_charge_said_with_another_payer_or_amount_changes_nothing(engine: GuardedEngine) -> None:
    star_payments.book(engine, PAID)
    for other in (replace(PAID, stars=51), replace(PAID, payer=replace(PAYER, telegram_id=7_000_002))):
        for kind in PaymentKind:
            outcome = star_payments.book(engine, replace(other, kind=kind))
            assert (outcome.status, outcome.reason) == (OutcomeStatus.REJECTED, RejectionReason.KEY_REUSED)
    assert balance_of(engine) == 5_000


def test_a_refund_that_overtakes_its_payment_leaves_nothing_credited(engine: GuardedEngine) -> None:
    assert star_payments.book(engine, REFUNDED).balance_after == 0
    assert star_payments.book(engine, PAID).status is OutcomeStatus.REPLAYED
    assert star_payments.book(engine, REFUNDED).status is OutcomeStatus.REPLAYED
    assert balance_of(engine) == 0


def test_a_refund_of_what_was_spent_is_a_debt_that_is_paid_before_anything_else(
    engine: GuardedEngine, person: Person, sql: Sql, database_url: str
) -> None:
    star_payments.book(engine, PAID)
    assert debit(engine, "spent", 4_000) is OutcomeStatus.APPLIED
    assert star_payments.book(engine, REFUNDED).balance_after == -4_000
    assert balance_of(engine) == -4_000
    assert debit(engine, "more", 1) is OutcomeStatus.REJECTED
    friend = person(10_000)

    def gift(key: str, amount: int) -> None:
        ledger.transfer(
            engine,
            key=key,
            sender_telegram_id=friend.telegram_id,
            recipient_telegram_id=PAYER.telegram_id,
            amount=amount,
            memo="",
        )

    gift("part", 3_000)
    assert (balance_of(engine), debit(engine, "early", 1)) == (-1_000, OutcomeStatus.REJECTED)
    gift("rest", 1_500)
    assert (balance_of(engine), debit(engine, "free", 500)) == (500, OutcomeStatus.APPLIED)
    assert all(finding.ok for finding in audit(database_url))
    assert sql("SELECT DISTINCT floor FROM accounts") == [(0,)]


def test_what_was_booked_of_stars_is_not_deleted(engine: GuardedEngine, sql: Sql) -> None:
    star_payments.book(engine, PAID)
    for statement in ("DELETE FROM star_payments", "TRUNCATE star_payments CASCADE"):
        with pytest.raises(errors.RestrictViolation):
            sql(statement)


@dataclass
class Model:
    """One payer's books, as simple as they can be told."""

    balance: int = 0
    paid: dict[int, int] = field(default_factory=dict)
    refunded: set[int] = field(default_factory=set)

    def say(self, charge: int, stars: int, *, is_refund: bool) -> None:
        if charge not in self.paid:
            self.paid[charge] = stars
            self.balance += stars
        if is_refund and charge not in self.refunded:
            self.refunded.add(charge)
            self.balance -= self.paid[charge]

    def adjust(self, amount: int) -> bool:
        if amount < 0 and self.balance + amount < 0:
            return False
        self.balance += amount
        return True


steps = st.lists(
    st.tuples(st.just("said"), st.integers(0, 5), st.booleans())
    | st.tuples(st.just("adjusted"), st.integers(-120, 60).filter(bool), st.just(False)),
    min_size=1,
    max_size=40,
)


def test_any_history_of_payments_refunds_and_spending_is_as_a_simple_model_says(
    engine: GuardedEngine, database_url: str, sql: Sql
) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    @given(steps)
    def holds(history: list[tuple[str, int, bool]]) -> None:
        number = next(_examples)
        payer, model = Profile(8_000_000 + number, None, "P"), Model()
        users.get_or_create(engine, profile=payer)
        for at, (what, value, is_refund) in enumerate(history):
            if what == "said":
                stars = 10 * value + 10
                kind = PaymentKind.REFUNDED if is_refund else PaymentKind.PAID
                charge = StarCharge(kind, f"{number}-{value}", payer, stars, stars, "", 1_700_000_000)
                model.say(value, stars, is_refund=is_refund)
                assert star_payments.book(engine, charge).reason is None
            else:
                target = UserRef(telegram_id=payer.telegram_id)
                outcome = ledger.adjust(
                    engine, key=f"{number}:{at}", target=target, amount=value, memo="", actor="t"
                )
                assert (outcome.status is OutcomeStatus.APPLIED) == model.adjust(value)
            assert balance_of(engine, payer) == model.balance

    holds()
    assert [finding for finding in audit(database_url) if not finding.ok] == []
    # Telegram's book of the same: what was paid less what was given back.
    assert sql(
        "SELECT -sum(e.amount) = (SELECT sum(stars) FROM star_payments WHERE refunded_at IS NULL) "
        "FROM entries e JOIN system_accounts s USING (account_id) WHERE s.name = 'stars'"
    ) in ([(True,)], [(None,)])
