"""What a report of a payment says of a subscription. Pure."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

from ballast.builtin.payments import RecordPayment
from ballast.subscriptions import invoices
from dbcore.currencies import STARS
from dbcore.ledger.payments import PaymentKind
from dbcore.ledger.star_subscriptions import PERIOD_SECONDS, SubscriptionCharge
from dbcore.settings import Settings


def charge_of(job: RecordPayment, settings: Settings) -> SubscriptionCharge | None:
    """What is to be booked; None if it is no payment of a subscription of this bot.

    The end of the period is as Telegram says it. Its book of Stars, and its report of a refund, do not: the period is
    30 days from the payment then.
    """
    invoice = invoices.said_in(job.payload)
    if invoice is None or (job.currency, job.amount) != (STARS, invoice.stars):
        return None
    ends_at = _whole(job.details, "subscription_expiration_date")
    is_first = job.details.get("is_first_recurring")
    return SubscriptionCharge(
        kind=PaymentKind(job.event),
        charge_id=job.charge_id,
        payer=job.profile,
        stars=job.amount,
        amount=worth(job.amount, settings),
        invoice=invoice,
        # Telegram leaves out what is not so.
        is_first=is_first is True if _is_report(job) else None,
        said_at=job.said_at,
        ends_at=ends_at if ends_at is not None else job.said_at + PERIOD_SECONDS,
    )


def worth(stars: int, settings: Settings) -> int:
    """Minor units, rounded down: STARS_RATE may have changed since the plan was on offer."""
    minor_units: int = 10**settings.currency_exponent
    return max(1, floor(Fraction(settings.stars_rate) * stars * minor_units))


def _is_report(job: RecordPayment) -> bool:
    """By Telegram's message of the payment, which says whether it is the first one."""
    return job.details.get("is_recurring") is True


def _whole(details: dict[str, Any], name: str) -> int | None:
    value = details.get(name)
    return value if type(value) is int and 0 < value < 253_402_300_800 else None
