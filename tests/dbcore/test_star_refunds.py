"""Refunds that this bot asks for: the money is held before Telegram is asked, and each refund ends once."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from dbcore import admin_actions
from dbcore.admin_actions import Filters
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, star_payments, star_refunds, users
from dbcore.ledger.payments import PaymentKind
from dbcore.ledger.star_payments import StarCharge
from dbcore.ledger.star_refunds import RefundOutcome, RefundState
from dbcore.ledger.users import Profile, UserRef
from dbcore.outcomes import OutcomeStatus, RejectionReason
from tests.dbcore.conftest import MakeEngine, Sql

pytestmark = pytest.mark.usefixtures("audited")

PAYER = Profile(7_100_001, "payer", "Payer")
ADMIN = 1001
_keys = itertools.count(1)


def paid(engine: GuardedEngine, charge: str = "c", payer: Profile = PAYER, *, ago: int = 0) -> int:
    """Its receipt's number. ago -- seconds."""
    ((now,),) = engine.fetch_rows(
        "SELECT extract(epoch FROM now())::bigint", (), name="test.now", writes=False
    )
    said = StarCharge(PaymentKind.PAID, charge, payer, stars=1, amount=100, payload="", said_at=now - ago)
    return star_payments.book(engine, said).payment_id or 0


def asked(
    engine: GuardedEngine, payment: str | None = "c", *, by_payer: bool = False, key: str = ""
) -> RefundOutcome:
    return star_refunds.create(
        engine,
        key=key or f"ask-{next(_keys)}",
        payment=payment,
        presser_id=PAYER.telegram_id if by_payer else ADMIN,
        actor="t",
        payer_within=timedelta(hours=1) if by_payer else None,
    )


def decided(
    engine: GuardedEngine,
    card: RefundOutcome,
    *,
    confirm: bool = True,
    presser: int = ADMIN,
    is_admin: bool = True,
    key: str = "",
) -> RefundOutcome:
    return star_refunds.decide(
        engine,
        key=key or f"decide-{next(_keys)}",
        token=card.token,
        presser_id=presser,
        is_admin=is_admin,
        confirm=confirm,
    )


def figures(engine: GuardedEngine) -> tuple[int, int]:
    account = users.get_or_create(engine, profile=PAYER)
    return account.balance, account.available


def spend(engine: GuardedEngine, amount: int) -> OutcomeStatus:
    target = UserRef(telegram_id=PAYER.telegram_id)
    return ledger.adjust(
        engine, key=f"spend-{next(_keys)}", target=target, amount=-amount, memo="", actor="t"
    ).status


def test_confirmed_the_money_is_held_and_telegram_s_yes_takes_it_once(engine: GuardedEngine) -> None:
    number = paid(engine)
    card = asked(engine, str(number))
    assert card.payment is not None
    assert (card.payment.charge_id, card.payment.amount, card.available) == ("c", 100, 100)
    assert figures(engine) == (100, 100)
    first = decided(engine, card, key="press")
    assert (first.status, first.state) == (OutcomeStatus.APPLIED, RefundState.ASKED)
    assert figures(engine) == (100, 0)
    assert spend(engine, 1) is OutcomeStatus.REJECTED
    again = decided(engine, card, key="press")  # the worker died before it asked Telegram
    assert (again.status, again.state) == (OutcomeStatus.REPLAYED, RefundState.ASKED)
    assert decided(engine, card).reason is RejectionReason.ALREADY_CONFIRMED
    assert asked(engine).reason is RejectionReason.REFUND_UNDER_WAY

    assert star_refunds.book_refund(engine, card.payment, said_at=1).status is OutcomeStatus.APPLIED
    assert star_refunds.book_refund(engine, card.payment, said_at=1).status is OutcomeStatus.REPLAYED
    assert decided(engine, card, key="press").state is RefundState.DONE
    (booked,) = admin_actions.search(engine, Filters(action="payment.refund")).items
    assert (booked.actor, booked.target, booked.outcome) == ("t", str(number), "done")
    assert star_refunds.refuse(engine, token=card.token, reason="late") is RefundState.DONE
    assert figures(engine) == (0, 0)
    assert asked(engine).reason is RejectionReason.ALREADY_REFUNDED


def test_telegram_s_own_report_ends_the_refund_as_well_as_its_answer(engine: GuardedEngine) -> None:
    paid(engine)
    card = asked(engine)
    decided(engine, card, key="press")
    reported = StarCharge(PaymentKind.REFUNDED, "c", PAYER, stars=1, amount=100, payload="", said_at=1)
    assert star_payments.book(engine, reported).status is OutcomeStatus.APPLIED
    assert figures(engine) == (0, 0)
    assert decided(engine, card, key="press").state is RefundState.DONE


def test_what_telegram_refuses_is_available_again(engine: GuardedEngine) -> None:
    paid(engine)
    card = asked(engine)
    decided(engine, card, key="press")
    for _ in range(2):
        assert (
            star_refunds.refuse(engine, token=card.token, reason="CHARGE_ID_INVALID") is RefundState.REFUSED
        )
    assert figures(engine) == (100, 100)
    told = decided(engine, card, key="press")
    assert (told.state, told.said, told.reason) == (RefundState.REFUSED, "CHARGE_ID_INVALID", None)
    assert decided(engine, asked(engine)).state is RefundState.ASKED  # may be tried anew
    found = admin_actions.search(engine, Filters(action="payment")).items
    assert [(each.actor, each.outcome) for each in found] == [("t", "refused: CHARGE_ID_INVALID")]


def test_of_what_was_spent_the_rest_is_held_and_the_debt_is_paid_first(engine: GuardedEngine) -> None:
    paid(engine)
    assert spend(engine, 70) is OutcomeStatus.APPLIED
    card = asked(engine)
    assert card.available == 30
    decided(engine, card)
    assert figures(engine) == (30, 0)
    assert card.payment is not None
    assert star_refunds.book_refund(engine, card.payment, said_at=1).balance_after == -70
    assert figures(engine) == (-70, -70)
    paid(engine, "c2")
    assert figures(engine) == (30, 30)
    spent = asked(engine, "c2")
    spend(engine, 30)
    assert decided(engine, spent).state is RefundState.ASKED  # nothing is left to be held
    assert spent.payment is not None
    assert star_refunds.book_refund(engine, spent.payment, said_at=1).balance_after == -100


def test_a_payer_refunds_their_own_payment_in_time_and_if_the_money_is_there(engine: GuardedEngine) -> None:
    paid(engine, "old", ago=3_601)
    assert asked(engine, "old", by_payer=True).reason is RejectionReason.TOO_LATE
    paid(engine, "other", Profile(7_100_002, None, "Other"))
    assert asked(engine, "other", by_payer=True).reason is RejectionReason.UNKNOWN_PAYMENT
    assert asked(engine, "nothing").reason is RejectionReason.UNKNOWN_PAYMENT
    paid(engine, "new")
    spend(engine, 101)
    assert asked(engine, None, by_payer=True).reason is RejectionReason.INSUFFICIENT_FUNDS
    paid(engine, "newest")
    card = asked(engine, None, by_payer=True)
    assert card.payment is not None
    assert card.payment.charge_id == "newest"
    assert decided(engine, card).reason is RejectionReason.NOT_YOURS
    spend(engine, 150)
    press = decided(engine, card, presser=PAYER.telegram_id, is_admin=False)
    assert (press.state, press.reason) == (RefundState.REFUSED, RejectionReason.INSUFFICIENT_FUNDS)


def test_a_card_is_decided_once_and_by_an_admin_who_is_one_still(engine: GuardedEngine, sql: Sql) -> None:
    paid(engine)
    card = asked(engine, key="card")
    assert asked(engine, key="card").token == card.token
    assert decided(engine, card, is_admin=False).reason is RejectionReason.NOT_YOURS
    assert decided(engine, card, confirm=False).state is RefundState.CANCELLED
    assert decided(engine, card).reason is RejectionReason.ALREADY_CANCELLED
    late = asked(engine)
    sql(
        "UPDATE star_refunds SET created_at = now() - interval '1 day', expires_at = now() - interval '1 hour' "
        "WHERE status = 'pending'"
    )
    assert decided(engine, late).reason is RejectionReason.EXPIRED
    assert figures(engine) == (100, 100)


def test_of_two_admins_at_once_one_refunds(make_engine: MakeEngine) -> None:
    engine = make_engine(settings={"db_pool_size": 4, "db_max_overflow": 4, "db_deadline_seconds": 30})
    paid(engine)
    cards = [asked(engine) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        states = list(threads.map(lambda card: decided(engine, card).state, cards))
    assert sorted(map(str, states)) == ["asked", *["refused"] * 7]
    assert figures(engine) == (100, 0)
