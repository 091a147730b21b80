"""Payments in Telegram Stars, and what else Telegram reports of payments."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ballast.builtin.app import BuiltInApp
from ballast.builtin.declared import Waiting
from ballast.builtin.jobs import UserJob
from ballast.jobs import Job
from ballast.texts import gettext_noop
from dbcore.sentences import sentence

LOOK_SECONDS = 300.0
"""How often it is looked whether a reading of Telegram's book is due, or was broken off."""


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


class ReconcileStars(Job):
    """/reconcile: compare Telegram's book of Stars with the ledger, and say how they differ."""

    kind = "transactions.reconcile_stars"


payments = BuiltInApp("transactions", tasks=["workers.tasks.payments", "workers.tasks.reconciliation"])

payments.built_in_job(
    RecordPayment,
    database="write",
    waiting=Waiting(words=sentence("Your payment is saved, and I'll send you a receipt {until}.")),
    needed="Telegram says only once that somebody paid",
)
payments.built_in_job(ReconcileStars, database="write", takes_its_time=True)

payments.built_in_command(
    "reconcile", ReconcileStars, help=gettext_noop("Compare payments in Stars with Telegram"), admin=True
)
# Two beats are harmless: whoever keeps a page moves the cursor, and the other one reads on from there.
payments.schedule(
    "star-reconciliation",
    "workers.payments.reconcile",
    lambda *_: LOOK_SECONDS,
    queue="health",
)
