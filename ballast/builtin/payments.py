"""Payments in Telegram Stars, and what else Telegram reports of payments."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ballast.builtin.app import BuiltInApp
from ballast.builtin.declared import Waiting
from ballast.builtin.jobs import UserJob
from dbcore.ledger.star_reports import StarReportKind
from dbcore.sentences import sentence


class RecordPayment(UserJob):
    """Telegram says that this user paid, or was refunded: keep it, and give a receipt. Stars paid by an
    invoice of this bot are credited; of all else the admins are told.

    charge_id -- Telegram's; each is recorded once. amount -- in the currency's smallest units; XTR is whole Stars.
    details -- Telegram's object, whole. said_at -- seconds since 1970.
    """

    kind = "transactions.record_payment"
    event: Literal["paid", "refunded"]
    charge_id: str = Field(min_length=1, max_length=256)
    amount: int = Field(ge=0, lt=2**63)
    currency: str = Field(min_length=1, max_length=16)
    payload: str = Field(default="", max_length=512)
    details: dict[str, Any] = Field(default_factory=dict)
    said_at: int = Field(ge=0)


class RecordStarReport(UserJob):
    """Telegram says that this user bought paid media, or sent a gift: keep it. No balance changes by it.

    what -- the payload of the media, or the gift's id or name. stars -- None if Telegram does not say.
    said_at -- seconds since 1970.
    """

    kind = "transactions.record_star_report"
    report: StarReportKind
    what: str = Field(default="", max_length=512)
    stars: int | None = Field(default=None, ge=0, lt=2**63)
    said_at: int = Field(ge=0)


payments = BuiltInApp("transactions", tasks=["workers.tasks.payments"])

payments.built_in_job(
    RecordPayment,
    database="write",
    waiting=Waiting(words=sentence("Your payment is saved, and I'll send you a receipt {until}.")),
    needed="Telegram says only once that somebody paid",
)
payments.built_in_job(
    RecordStarReport, database="write", needed="Telegram says only once that Stars were spent"
)
