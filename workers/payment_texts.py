"""What people are told of payments: a receipt to who paid, an alarm to the admins. While no app handles payments, they
also say that no balance has changed.
"""

from __future__ import annotations

import re
from decimal import Decimal

from dbcore.ledger.payments import PaymentKind
from dbcore.text import one_line
from workers.command_names import mention
from workers.jobs import INSTALLED, RecordPayment
from workers.phrases import escape

STARS = "XTR"

_CODE = re.compile(r"[A-Z]{3}")

# Telegram counts in the smallest unit. How many make one: ISO 4217, where all others have two decimals.
_WITHOUT_DECIMALS = frozenset(
    {
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    }
)
_WITH_THREE_DECIMALS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})


_APP_HANDLES_THEM = INSTALLED.handlers[RecordPayment.kind].replaced_by is not None
"""An app's function replaces RecordPayment, so only the app knows whether a balance has changed."""


def receipt(job: RecordPayment) -> str:
    charge = f"Charge ID: <code>{_line(job.charge_id)}</code>"
    if PaymentKind(job.event) is PaymentKind.REFUNDED:
        return f"Your payment of <b>{_price(job)}</b> was refunded.\n{charge}" + _unless_handled(
            "\nYour balance has not changed."
        )
    return f"We received your payment of <b>{_price(job)}</b>.\n{charge}" + _unless_handled(
        "\nThis bot does not sell anything yet, so your balance has not changed. The admins have been told. "
        "If you contact them about a refund, quote the charge ID."
    )


def alarm(job: RecordPayment) -> str:
    """For the admins, who decide what becomes of the money."""
    who = f"User <code>{job.telegram_id}</code>"
    charge = f"Charge ID: <code>{_line(job.charge_id)}</code>"
    if PaymentKind(job.event) is PaymentKind.REFUNDED:
        return f"{who} was refunded {_price(job)}.\n{charge}" + _unless_handled(
            f"\nNo balance has changed.{mention('debit', ' If you credited this payment, use {}.')}"
        )
    if _APP_HANDLES_THEM:
        return f"{who} paid {_price(job)}.\n{charge}"
    return (
        f"{who} paid {_price(job)}, but this bot does not process payments yet.\n{charge}\n"
        f"No balance has changed. {_refund(job)}{mention('credit', ', or use {}')}."
    )


def doubtful(job: RecordPayment) -> str:
    """To the payer whom a report names that contradicts the first one of its charge."""
    did = "a refund" if PaymentKind(job.event) is PaymentKind.REFUNDED else "a payment"
    return (
        f"Telegram reported {did} of <b>{_price(job)}</b>, but we have another record of it. "
        f"{_unless_handled('Your balance has not changed. ')}The admins have been told and will check it.\n"
        f"Charge ID: <code>{_line(job.charge_id)}</code>"
    )


def unreadable(reference: str) -> str:
    """To the payer whose payment is in an update that could not be read."""
    return (
        "Telegram reported a payment in your chat, but we could not read it. Your balance has not changed. "
        f"The admins have been told. If you contact them, quote this reference: <code>{reference}</code>"
    )


def unreadable_alarm(reference: str, telegram_id: int | None) -> str:
    who = "An unknown user" if telegram_id is None else f"User <code>{telegram_id}</code>"
    return (
        f"{who} made or got back a payment that could not be read. It is the failed job <code>{reference}</code>, "
        f"which holds Telegram's report: <code>python -m workers dead-letters show {reference}</code>. "
        "No balance has changed."
    )


def contradiction(job: RecordPayment) -> str:
    return (
        f"Telegram reported the charge <code>{_line(job.charge_id)}</code> again ({job.event}), with another payer, "
        f"amount or currency: user <code>{job.telegram_id}</code>, {_price(job)}. The first report was kept."
        f"{_unless_handled(' No balance has changed.')}"
    )


def _unless_handled(text: str) -> str:
    return "" if _APP_HANDLES_THEM else text


def _refund(job: RecordPayment) -> str:
    if job.currency == STARS:
        return "Refund the payment with refundStarPayment"
    return "Refund the payment in your payment provider's dashboard"


def _price(job: RecordPayment) -> str:
    if job.currency == STARS:
        return f"{job.amount:,} Telegram Star" + ("" if job.amount == 1 else "s")
    if not _CODE.fullmatch(job.currency):
        return f"{job.amount:,} of the smallest units of {_line(job.currency)}"
    decimals = 0 if job.currency in _WITHOUT_DECIMALS else 3 if job.currency in _WITH_THREE_DECIMALS else 2
    return f"{Decimal(job.amount).scaleb(-decimals):,.{decimals}f} {job.currency}"


def _line(text: str) -> str:
    return escape(one_line(text))
