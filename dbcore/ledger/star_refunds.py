"""Refunds of Stars that this bot asks Telegram for: put before whoever may confirm one by `create`, and decided by
`decide`, which holds the payer's money. Telegram's yes is booked by `book_refund`, its no by `refuse`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.ledger import party, require_key
from dbcore.ledger.payments import PaymentKind
from dbcore.ledger.pending_transfers import EXPIRES_AFTER_SECONDS, TOKEN_BYTES
from dbcore.ledger.star_payments import StarCharge, StarOutcome, book
from dbcore.ledger.users import Profile
from dbcore.outcomes import Outcome, OutcomeStatus, Party, RejectionReason
from dbcore.text import storable

_CREATE_SQL = "SELECT * FROM ballast.refund_create(%s, %s, %s, %s, %s, %s, %s, %s, make_interval(secs => %s))"
_DECIDE_SQL = "SELECT * FROM ballast.refund_decide(%s, %s, %s, %s, %s, make_interval(secs => %s))"

REASON_LENGTH_MAX = 200


class RefundState(StrEnum):
    PENDING = "pending"
    ASKED = "asked"
    """Confirmed: the payer's money is held, and Telegram is to be asked."""
    DONE = "done"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class RefundedPayment:
    """number -- the receipt's. amount -- minor units that it was credited as, and that are taken back; 0 of a
    subscription's payment, which credited nobody.
    """

    number: int
    charge_id: str
    payer: Party
    stars: int
    amount: int

    @property
    def is_of_subscription(self) -> bool:
        return self.amount == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOutcome(Outcome):
    """token -- names it for `decide`; empty if it was refused. payment -- None if there is none, or nobody is told.
    available -- what the payer can spend. state -- of a decision. said -- why Telegram refused it before.
    """

    token: str = ""
    payment: RefundedPayment | None = None
    available: int | None = None
    state: RefundState | None = None
    said: str | None = None


def create(
    engine: GuardedEngine,
    *,
    key: str,
    payment: str | None,
    presser_id: int | None,
    actor: str,
    payer_within: timedelta | None = None,
) -> RefundOutcome:
    """Find the payment and put its refund before whoever asked. Nothing is held yet.

    payment -- a charge ID or a receipt's number; None: the presser's last one.
    presser_id -- who is to confirm it; None: an operator at the command line.
    payer_within -- it is the payer who asks, so long after the payment at most.
    """
    require_key(key)
    row = engine.fetch_row(
        _CREATE_SQL,
        (
            key,
            secrets.token_urlsafe(TOKEN_BYTES),
            None if payment is None else storable(payment),
            presser_id,
            payer_within is not None,
            payer_within,
            storable(actor),
            engine.currency,
            EXPIRES_AFTER_SECONDS,
        ),
        name="star_refunds.create",
    )
    status, reason, token, available, *payment_columns = row
    return RefundOutcome(
        status=OutcomeStatus(status),
        reason=None if reason is None else RejectionReason(reason),
        token=token or "",
        payment=_payment(payment_columns),
        available=available,
    )


def decide(
    engine: GuardedEngine,
    *,
    key: str,
    token: str,
    presser_id: int | None,
    is_admin: bool,
    confirm: bool,
    waited_seconds: float = 0.0,
) -> RefundOutcome:
    """Confirm it, which holds the payer's money, or cancel it. While the state is ASKED, Telegram is to be asked."""
    require_key(key)
    row = engine.fetch_row(
        _DECIDE_SQL,
        (key, storable(token), presser_id, is_admin, confirm, waited_seconds),
        name="star_refunds.decide",
    )
    status, reason, state, _, *payment_columns = row
    refused_by_telegram = state == "refused" and reason not in set(RejectionReason)
    return RefundOutcome(
        status=OutcomeStatus(status),
        reason=None if reason is None or refused_by_telegram else RejectionReason(reason),
        said=reason if refused_by_telegram else None,
        token=token,
        payment=_payment(payment_columns),
        state=None if state is None else RefundState(state),
    )


def refuse(engine: GuardedEngine, *, token: str, reason: str) -> RefundState:
    """Telegram refuses: what was held is available again. Returns its state, which may have ended otherwise before."""
    (state,) = engine.fetch_row(
        "SELECT ballast.refund_refuse(%s, %s)",
        (storable(token), storable(reason)[:REASON_LENGTH_MAX]),
        name="star_refunds.refuse",
    )
    return RefundState(state)


def state_of(engine: GuardedEngine, *, token: str) -> tuple[RefundState, str | None]:
    """How it stands, and why it was refused."""
    state, reason = engine.fetch_row(
        "SELECT status, reason FROM ballast.star_refunds WHERE token = %s",
        (storable(token),),
        name="star_refunds.state_of",
        writes=False,
    )
    return RefundState(state), reason


def book_refund(engine: GuardedEngine, payment: RefundedPayment, *, said_at: int) -> StarOutcome:
    """Telegram has given the Stars back: take what they were credited as, from what was held and from the rest. A
    subscription's are for `star_subscriptions.refund`.
    """
    return book(
        engine,
        StarCharge(
            kind=PaymentKind.REFUNDED,
            charge_id=payment.charge_id,
            payer=Profile(payment.payer.telegram_id, None, ""),
            stars=payment.stars,
            amount=payment.amount,
            payload="",
            said_at=said_at,
        ),
    )


def _payment(columns: list[Any]) -> RefundedPayment | None:
    number, charge_id, stars, amount, *payer_columns = columns
    payer = party(*payer_columns)
    return (
        None if number is None or payer is None else RefundedPayment(number, charge_id, payer, stars, amount)
    )
