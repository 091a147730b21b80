"""What a line of Telegram's book of Stars says. Pure."""

from __future__ import annotations

import json
from typing import Any

from ballast.builtin import star_invoices
from ballast.builtin.payments import RecordPayment
from ballast.subscriptions import charges, invoices
from dbcore.currencies import STARS
from dbcore.ledger.star_book import Transaction
from dbcore.settings import Settings
from dbcore.text import storable

PURPOSES = {
    "fragment": "withdrawal",
    "telegram_ads": "advertisement",
    "telegram_api": "paid_broadcast",
    "affiliate_program": "affiliate_commission",
    "chat": "chat",
    "other": "other",
}
"""By the type of a TransactionPartner that is no user."""

OF_USERS = {
    "paid_media_payment": "paid_media",
    "gift_purchase": "gift",
    "premium_purchase": "premium",
    "business_account_transfer": "business_account",
}
"""By the type of a user's transaction that is no payment of an invoice."""

REFUND = "refund"
PAYMENT = "payment"


def read(raw: dict[str, Any], settings: Settings) -> Transaction:
    """A StarTransaction of the Bot API. Raises KeyError, TypeError and ValueError for what is none."""
    is_outgoing = "receiver" in raw
    partner = raw.get("receiver") or raw.get("source") or {}
    purpose = _purpose(partner, is_outgoing=is_outgoing)
    stars, nanostars = int(raw["amount"]), int(raw.get("nanostar_amount", 0))
    invoice = star_invoices.read(str(partner.get("invoice_payload", "")), settings)
    is_ours = (
        purpose in (PAYMENT, REFUND)
        and invoice is not None
        and (stars, nanostars, settings.currency) == (invoice.stars, 0, invoice.currency)
    )
    subscribed = invoices.said_in(str(partner.get("invoice_payload", "")))
    is_subscription = (
        purpose in (PAYMENT, REFUND)
        and subscribed is not None
        and (stars, nanostars) == (subscribed.stars, 0)
    )
    amount = invoice.amount if is_ours and invoice is not None else None
    return Transaction(
        id=storable(str(raw["id"])),
        is_outgoing=is_outgoing,
        stars=stars,
        nanostars=nanostars,
        purpose=purpose,
        telegram_id=partner["user"]["id"] if "user" in partner else None,
        invoice_amount=charges.worth(stars, settings) if is_subscription else amount,
        details=raw,
        date=int(raw["date"]),
    )


def job_of(raw: dict[str, Any], *, is_refund: bool) -> RecordPayment:
    """The job that Telegram's report of this payment or refund would have been."""
    partner = raw["receiver"] if is_refund else raw["source"]
    user = partner["user"]
    return RecordPayment(
        telegram_id=user["id"],
        username=user.get("username"),
        first_name=user.get("first_name", ""),
        language_code=user.get("language_code"),
        event="refunded" if is_refund else "paid",
        charge_id=raw["id"],
        amount=raw["amount"],
        currency=STARS,
        payload=partner.get("invoice_payload", ""),
        details=json.loads(json.dumps(raw)),
        said_at=raw["date"],
    )


def _purpose(partner: dict[str, Any], *, is_outgoing: bool) -> str:
    kind = str(partner.get("type", "other"))
    if kind != "user":
        return PURPOSES.get(kind, "other")
    # Older servers name no transaction type: a user's payment is one of an invoice.
    transaction = str(partner.get("transaction_type", "invoice_payment"))
    if transaction == "invoice_payment":
        return REFUND if is_outgoing else PAYMENT
    return OF_USERS.get(transaction, "other")
