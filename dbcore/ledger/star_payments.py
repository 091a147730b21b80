"""Telegram Stars that people paid, and got back: each charge is credited once and taken back once, by one SQL function.

What was refunded is taken back even if it was spent. What is missing is a debt: the balance is below zero, whatever
comes in pays it first, and nothing goes out before.
"""

from __future__ import annotations

from dataclasses import dataclass

from dbcore.fingerprints import fingerprint
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.balance_cache import BalanceSnapshot
from dbcore.ledger.payments import PaymentKind
from dbcore.ledger.users import Profile
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import Outcome, OutcomeStatus, RejectionReason
from dbcore.text import storable

_BOOK_SQL = (
    "SELECT * FROM ballast.ledger_stars(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, to_timestamp(%s::bigint))"
)


@dataclass(frozen=True, slots=True)
class StarCharge:
    """What Telegram says of a charge.

    payer -- of the message, never of the payload. amount -- minor units that the Stars are worth.
    said_at -- the message's date, seconds since 1970.
    """

    kind: PaymentKind
    charge_id: str
    payer: Profile
    stars: int
    amount: int
    payload: str
    said_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StarOutcome(Outcome):
    """What was booked. KEY_REUSED: the same charge was booked with another payer, amount or number of Stars.

    payment_id -- the receipt's number; None if the charge was never credited.
    balance_after -- right after the transfer, below zero for a debt.
    """

    payment_id: int | None
    transfer_id: int | None
    amount: int
    currency: str
    balance_after: int | None


def credited(engine: GuardedEngine, charge_id: str) -> tuple[int, int] | None:
    """The Stars of a charge that was credited, and the minor units that they were credited as; None if it was not."""
    rows = engine.fetch_rows(
        "SELECT stars, amount FROM ballast.star_payments WHERE charge_id = %s AND currency = %s",
        (storable(charge_id), engine.currency),
        name="star_payments.credited",
        writes=False,
    )
    return (rows[0][0], rows[0][1]) if rows else None


def book(engine: GuardedEngine, charge: StarCharge) -> StarOutcome:
    """Credit a payment, or take a refunded one back. A refund that comes before its payment books both.

    Raises ValueError for an amount that no account can be credited with.
    """
    if not (charge.stars > 0 and 0 < charge.amount <= MAX_AMOUNT):
        raise ValueError(f"{charge.stars} Stars are no {charge.amount} minor units")
    charge_id = storable(charge.charge_id)
    mark = fingerprint(
        "star payment", charge_id, charge.payer.telegram_id, charge.stars, charge.amount, engine.currency
    )
    row = engine.fetch_row(
        _BOOK_SQL,
        (
            charge.kind is PaymentKind.REFUNDED,
            charge_id,
            mark,
            *charge.payer.parameters(),
            charge.payer.language_code,
            charge.stars,
            charge.amount,
            engine.currency,
            storable(charge.payload),
            charge.said_at,
        ),
        name="star_payments.book",
    )
    status, reason, payment_id, transfer_id, balance_after, balance_now, version = row
    return StarOutcome(
        status=OutcomeStatus(status),
        reason=None if reason is None else RejectionReason(reason),
        payment_id=payment_id,
        transfer_id=transfer_id,
        amount=charge.amount,
        currency=engine.currency,
        balance_after=balance_after,
        balances_now=(BalanceSnapshot(charge.payer.telegram_id, engine.currency, balance_now, version),),
    )
