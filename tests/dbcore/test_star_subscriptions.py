"""Subscriptions by Stars: each charge is booked once, in any order, and Telegram's word on the renewal is kept."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import errors

from ballast.jobs import Job
from dbcore.admin_actions import AdminAction
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import star_payments, star_refunds, star_subscriptions, users
from dbcore.ledger.audit import audit
from dbcore.ledger.payments import PaymentKind
from dbcore.ledger.star_payments import StarCharge
from dbcore.ledger.star_refunds import RefundState
from dbcore.ledger.star_subscriptions import (
    PERIOD_SECONDS,
    Change,
    ChangeKind,
    PlanInvoice,
    Renewal,
    Subscriber,
    Subscription,
    SubscriptionCharge,
)
from dbcore.ledger.users import Profile
from dbcore.outcomes import OutcomeStatus, RejectionReason
from tests.dbcore.conftest import MakeEngine, Sql

PAYER = Profile(7_100_001, "payer", "Payer")
INVOICE = PlanInvoice("premium", 250, "s1:premium:250:abcdefgh:signature")
NOW = int(time.time())
_examples = itertools.count(1)


class Asks(Job):
    kind = "test.asks"
    number: int


class Told(Job):
    kind = "test.told"
    change: str
    number: int


def follows(change: Change) -> list[Job]:
    return [Told(change=change.kind.value, number=change.number)]


def charge(
    charge_id: str, began: int = NOW, *, is_first: bool = True, payer: Profile = PAYER, refunded: bool = False
) -> SubscriptionCharge:
    """That paid for the 30 days from `began`."""
    kind = PaymentKind.REFUNDED if refunded else PaymentKind.PAID
    ends_at = began + PERIOD_SECONDS
    return SubscriptionCharge(kind, charge_id, payer, 250, 25_000, INVOICE, is_first, began, ends_at)


def book(engine: GuardedEngine, what: SubscriptionCharge) -> star_subscriptions.SubscriptionOutcome:
    return star_subscriptions.book(engine, what, follows=follows)


def tell(engine: GuardedEngine, key: str, renewal: Renewal, payer: Profile = PAYER) -> Change | None:
    return star_subscriptions.tell(
        engine, key=key, person=payer, invoice=INVOICE, renewal=renewal, said_at=NOW, follows=follows
    )


def want(
    engine: GuardedEngine, key: str, number: int, wanted: star_subscriptions.Wanted, by: int | None = None
) -> RejectionReason | None:
    """by -- the subscriber; None: an operator."""
    who = (
        AdminAction(key, "operator", "subscription", str(number), 0.0) if by is None else Subscriber(key, by)
    )
    asks = Asks(number=number)
    return star_subscriptions.want(engine, by=who, number=number, wanted=wanted, asks=asks).reason


def the_one(engine: GuardedEngine, payer: Profile = PAYER) -> Subscription:
    (found,) = star_subscriptions.listed(engine, telegram_id=payer.telegram_id)
    return found


def counts(engine: GuardedEngine, payer: Profile = PAYER) -> bool:
    return star_subscriptions.counts_until(engine, payer.telegram_id, "premium").counts


def revenue(sql: Sql) -> int:
    ((total,),) = sql(
        "SELECT coalesce(sum(e.amount), 0)::bigint FROM entries e JOIN system_accounts s USING (account_id)"
        " WHERE s.name = 'subscriptions'"
    )
    return int(total)


def queued(sql: Sql) -> list[str]:
    return [
        row[0] for row in sql("SELECT payload->>'change' FROM outbox WHERE kind = 'test.told' ORDER BY id")
    ]


def test_one_charge_is_booked_once_however_often_and_at_once_it_is_said(
    make_engine: MakeEngine, sql: Sql, database_url: str
) -> None:
    engine = make_engine(settings={"db_pool_size": 4, "db_max_overflow": 4, "db_deadline_seconds": 30})
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda _: book(engine, charge("sub-1")), range(16)))
    assert sorted(outcome.status for outcome in outcomes) == ["applied", *["replayed"] * 15]
    assert len({outcome.payment_id for outcome in outcomes}) == 1
    assert (revenue(sql), queued(sql), counts(engine)) == (25_000, ["begun"], True)
    assert users.get_or_create(engine, profile=PAYER).balance == 0
    # The rate has changed since: it is the same charge, with the amount that it was booked with.
    again = book(engine, replace(charge("sub-1"), amount=1))
    assert (again.status, revenue(sql)) == (OutcomeStatus.REPLAYED, 25_000)
    assert all(finding.ok for finding in audit(database_url))


def test_a_charge_said_with_another_payer_or_as_a_deposit_changes_nothing(
    engine: GuardedEngine, sql: Sql
) -> None:
    book(engine, charge("sub-1"))
    others = [
        replace(charge("sub-1"), stars=251),
        charge("sub-1", payer=replace(PAYER, telegram_id=7_100_002)),
    ]
    for other in others:
        outcome = book(engine, other)
        assert (outcome.status, outcome.reason) == (OutcomeStatus.REJECTED, RejectionReason.KEY_REUSED)
    deposit = StarCharge(PaymentKind.PAID, "sub-1", PAYER, 250, 25_000, INVOICE.payload, NOW)
    assert star_payments.book(engine, deposit).reason is RejectionReason.KEY_REUSED
    assert (revenue(sql), sql("SELECT count(*) FROM star_subscriptions")) == (25_000, [(1,)])


def test_reports_out_of_order_end_where_they_would_have_in_order(
    engine: GuardedEngine, sql: Sql, database_url: str
) -> None:
    months = [NOW - 2 * PERIOD_SECONDS, NOW - PERIOD_SECONDS, NOW]
    book(engine, charge("sub-2", months[1], is_first=False))  # a renewal before its first payment
    tell(engine, "cancelled", Renewal.CANCELLED)
    book(engine, charge("sub-3", months[2] + 5, is_first=False))  # after which it was on again
    assert (the_one(engine).renewal, counts(engine)) == (Renewal.ON, True)
    tell(engine, "later", Renewal.CANCELLED)
    book(
        engine, charge("sub-1", months[0])
    )  # an old one says nothing of the renewal, and begins nothing later
    found = the_one(engine)
    assert (int(found.begun_at.timestamp()), int(found.expires_at.timestamp())) == (
        months[0],
        months[2] + 5 + PERIOD_SECONDS,
    )
    assert (found.renewal, counts(engine), revenue(sql)) == (Renewal.CANCELLED, True, 75_000)
    assert queued(sql) == ["renewed", "cancelled", "renewed", "cancelled", "begun"]
    assert all(finding.ok for finding in audit(database_url))


def test_what_telegram_says_of_the_renewal_is_kept_once_and_before_the_first_payment_too(
    engine: GuardedEngine, sql: Sql
) -> None:
    assert tell(engine, "one", Renewal.CANCELLED) is not None
    assert tell(engine, "one", Renewal.CANCELLED) is None
    assert (star_subscriptions.listed(engine), counts(engine)) == ([], False)
    book(engine, charge("sub-1", NOW - 60))
    assert the_one(engine).renewal is Renewal.CANCELLED
    resumed = tell(engine, "two", Renewal.ON)
    assert resumed is not None and resumed.kind is ChangeKind.RESUMED
    assert tell(engine, "one", Renewal.CANCELLED) is None
    assert the_one(engine).renewal is Renewal.ON
    tell(engine, "three", Renewal.FAILED)
    assert queued(sql) == ["cancelled", "begun", "resumed", "failed"]


def test_a_cancellation_is_so_only_once_telegram_has_answered(engine: GuardedEngine, sql: Sql) -> None:
    book(engine, charge("sub-1"))
    number = the_one(engine).number
    assert want(engine, "k1", number, "cancelled", by=1) is RejectionReason.NOT_YOURS
    assert want(engine, "k1", 10**9, "cancelled") is RejectionReason.UNKNOWN_SUBSCRIPTION
    assert want(engine, "k1", number, "allowed") is RejectionReason.RENEWAL_IS_ALLOWED
    assert want(engine, "k1", number, "cancelled", by=PAYER.telegram_id) is None
    assert want(engine, "k1", number, "cancelled", by=PAYER.telegram_id) is None
    assert want(engine, "k1", number, "allowed") is RejectionReason.KEY_REUSED
    assert want(engine, "k2", number, "cancelled") is RejectionReason.SUBSCRIPTION_CHANGE_UNDER_WAY
    asked = the_one(engine)
    assert (asked.renewal, asked.wanted, star_subscriptions.charges(engine, number)) == (
        Renewal.ON,
        "cancelled",
        ["sub-1"],
    )
    assert sql("SELECT count(*) FROM outbox WHERE kind = 'test.asks'") == [(1,)]

    def answer(key: str | None, refusal: str | None) -> ChangeKind | None:
        change = star_subscriptions.answer(
            engine, number=number, wanted_key=key or "", refusal=refusal, follows=follows
        )
        return None if change is None else change.kind

    assert answer("another", None) is None
    assert answer(asked.wanted_key, "CHARGE_ID_INVALID") is ChangeKind.REFUSED
    refused = the_one(engine)
    assert (refused.renewal, refused.refusal, refused.wanted) == (Renewal.ON, "CHARGE_ID_INVALID", None)
    assert answer(asked.wanted_key, None) is None  # a late yes to what was answered

    assert want(engine, "k3", number, "cancelled") is None
    assert answer(the_one(engine).wanted_key, None) is ChangeKind.CANCELLED
    done = the_one(engine)
    assert (done.renewal, done.cancelled_by_bot, done.is_paid, counts(engine)) == (
        Renewal.CANCELLED,
        True,
        True,
        True,
    )
    assert want(engine, "k4", number, "cancelled") is RejectionReason.RENEWAL_IS_CANCELLED
    assert want(engine, "k5", number, "allowed") is None
    assert answer(the_one(engine).wanted_key, None) is ChangeKind.ALLOWED
    # Telegram turns nothing on by that: its person can.
    assert (the_one(engine).renewal, the_one(engine).cancelled_by_bot) == (Renewal.CANCELLED, False)
    tell(engine, "on", Renewal.ON)
    assert the_one(engine).renewal is Renewal.ON


def due(engine: GuardedEngine) -> list[ChangeKind]:
    found = star_subscriptions.due(engine, asks=lambda number: Asks(number=number), follows=follows)
    return [change.kind for change in found]


def test_the_end_is_noted_once_and_later_while_a_renewal_may_be_on_its_way(
    engine: GuardedEngine, sql: Sql, database_url: str
) -> None:
    book(engine, charge("sub-1", NOW - PERIOD_SECONDS - 600))  # ended ten minutes ago
    assert (due(engine), counts(engine), the_one(engine).is_paid) == ([], True, False)
    tell(engine, "failed", Renewal.FAILED)
    assert counts(engine) is False
    assert (due(engine), due(engine)) == ([ChangeKind.EXPIRED], [])
    assert want(engine, "k", the_one(engine).number, "cancelled") is RejectionReason.SUBSCRIPTION_ENDED
    book(engine, charge("sub-2", NOW + 1))  # by the same invoice
    assert (the_one(engine).renewal, counts(engine), due(engine)) == (Renewal.ON, True, [])
    late = Profile(7_100_003, None, "Late")
    book(engine, charge("sub-3", NOW - PERIOD_SECONDS - 4_000, payer=late))  # more than an hour ago
    assert (counts(engine, late), due(engine)) == (False, [ChangeKind.EXPIRED])
    assert queued(sql) == ["begun", "failed", "expired", "begun", "begun", "expired"]
    assert all(finding.ok for finding in audit(database_url))


def test_what_was_wanted_is_asked_again_until_it_is_answered(engine: GuardedEngine, sql: Sql) -> None:
    book(engine, charge("sub-1"))
    assert want(engine, "k1", the_one(engine).number, "cancelled") is None
    assert (due(engine), due(engine)) == ([], [])
    assert sql("SELECT count(*) FROM outbox WHERE kind = 'test.asks'") == [(2,)]  # and not again at once


@pytest.mark.parametrize("comes_first", [True, False])
def test_a_refund_takes_its_period_back_and_ends_the_renewal(
    engine: GuardedEngine, sql: Sql, database_url: str, comes_first: bool
) -> None:
    book(engine, charge("sub-1", NOW - PERIOD_SECONDS))
    second = charge("sub-2", NOW, is_first=False)
    refunded = replace(second, kind=PaymentKind.REFUNDED)
    for said in (refunded, second) if comes_first else (second, refunded):
        assert book(engine, said).reason is None
    assert book(engine, refunded).status is OutcomeStatus.REPLAYED
    found = the_one(engine)
    assert (int(found.expires_at.timestamp()), found.wanted, revenue(sql)) == (NOW, "cancelled", 25_000)
    assert counts(engine) is False
    assert users.get_or_create(engine, profile=PAYER).balance == 0
    assert all(finding.ok for finding in audit(database_url))


def test_a_refund_that_is_asked_for_takes_nothing_from_the_balance(
    engine: GuardedEngine, sql: Sql, database_url: str
) -> None:
    booked = book(engine, charge("sub-1"))
    asked = star_refunds.create(engine, key="r1", payment=str(booked.payment_id), presser_id=None, actor="t")
    assert asked.payment is not None and (asked.payment.amount, asked.payment.stars) == (0, 250)
    decided = star_refunds.decide(
        engine, key="r2", token=asked.token, presser_id=None, is_admin=True, confirm=True
    )
    assert (decided.state, sql("SELECT count(*) FROM holds")) == (RefundState.ASKED, [(0,)])
    assert decided.payment is not None
    assert decided.payment.is_of_subscription
    done = star_subscriptions.refund(
        engine, charge_id="sub-1", payer_id=PAYER.telegram_id, stars=250, said_at=NOW, follows=follows
    )
    assert done.reason is None
    assert star_refunds.state_of(engine, token=asked.token) == (RefundState.DONE, None)
    # Telegram's own report of it comes too.
    assert book(engine, replace(charge("sub-1"), kind=PaymentKind.REFUNDED)).status is OutcomeStatus.REPLAYED
    assert (revenue(sql), counts(engine), queued(sql)) == (0, False, ["begun", "refunded"])
    assert all(finding.ok for finding in audit(database_url))


def test_what_is_known_of_subscriptions_is_not_deleted(engine: GuardedEngine, sql: Sql) -> None:
    book(engine, charge("sub-1"))
    for table in ("star_subscriptions", "star_subscription_periods", "star_subscription_changes"):
        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(errors.RestrictViolation):
                sql(statement)


@dataclass
class Model:
    """One subscription, as simple as it can be told: months that were paid, and those that were given back."""

    paid: set[int] = field(default_factory=set)
    refunded: set[int] = field(default_factory=set)

    def say(self, month: int, *, is_refund: bool) -> None:
        self.paid.add(month)
        if is_refund:
            self.refunded.add(month)

    @property
    def counts(self) -> bool:
        return 2 in self.paid - self.refunded


steps = st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=20)


def test_any_history_of_payments_and_refunds_is_as_a_simple_model_says(
    engine: GuardedEngine, database_url: str, sql: Sql
) -> None:
    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    @given(steps)
    def holds(history: list[tuple[int, bool]]) -> None:
        number = next(_examples)
        payer, model = Profile(8_100_000 + number, None, "P"), Model()
        for month, is_refund in history:
            model.say(month, is_refund=is_refund)
            began = NOW - 7_200 - (2 - month) * PERIOD_SECONDS
            what = charge(f"{number}-{month}", began, is_first=month == 0, payer=payer, refunded=is_refund)
            assert book(engine, what).reason is None
            assert counts(engine, payer) == model.counts
        ((net,),) = sql(
            "SELECT coalesce(sum(p.amount), 0)::bigint FROM star_payments p JOIN users u ON u.id = p.user_id"
            " WHERE u.telegram_id = %s AND p.refunded_at IS NULL",
            payer.telegram_id,
        )
        assert net == 25_000 * len(model.paid - model.refunded)

    holds()
    assert [finding for finding in audit(database_url) if not finding.ok] == []
