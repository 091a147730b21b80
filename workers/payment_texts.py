"""What people are told of payments while the bot sells nothing: a receipt to who paid, an alarm to the admins."""

from __future__ import annotations

from dbcore.payments import PaymentKind
from dbcore.text import one_line
from workers.jobs import RecordPayment
from workers.phrases import escape

STARS = "XTR"


def receipt(job: RecordPayment) -> str:
    charge = f"Charge ID: <code>{_line(job.charge_id)}</code>"
    if PaymentKind(job.event) is PaymentKind.REFUNDED:
        return f"Your payment of <b>{_price(job)}</b> was refunded.\n{charge}\nYour balance has not changed."
    return (
        f"We received your payment of <b>{_price(job)}</b>.\n{charge}\n"
        "This bot does not sell anything yet, so your balance has not changed. The admins have been told. "
        "If you contact them about a refund, quote the charge ID."
    )


def alarm(job: RecordPayment) -> str:
    """For the admins, who decide what becomes of the money."""
    who = f"User <code>{job.telegram_id}</code>"
    charge = f"Charge ID: <code>{_line(job.charge_id)}</code>"
    if PaymentKind(job.event) is PaymentKind.REFUNDED:
        return (
            f"{who} was refunded {_price(job)}.\n{charge}\n"
            "No balance has changed. If you credited this payment, use /debit."
        )
    return (
        f"{who} paid {_price(job)}, but this bot does not process payments yet.\n{charge}\n"
        "No balance has changed. Refund the payment with refundStarPayment, or use /credit."
    )


def contradiction(job: RecordPayment) -> str:
    return (
        f"Telegram reported the charge <code>{_line(job.charge_id)}</code> again ({job.event}), with another payer, "
        f"amount or currency: user <code>{job.telegram_id}</code>, {_price(job)}. The first report was kept. "
        "No balance has changed."
    )


def _price(job: RecordPayment) -> str:
    if job.currency == STARS:
        return f"{job.amount:,} Telegram Star" + ("" if job.amount == 1 else "s")
    # Telegram counts in the smallest unit, and how many make one is different for each currency.
    return f"{job.amount:,} of the smallest units of {_line(job.currency)}"


def _line(text: str) -> str:
    return escape(one_line(text))
