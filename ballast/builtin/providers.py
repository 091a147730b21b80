"""Payments by providers beside Telegram."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ballast.builtin import button_data
from ballast.builtin.app import BuiltInApp
from ballast.builtin.jobs import UserJob
from ballast.jobs import Job

SWEEP_LOOK_SECONDS = 300.0
"""How often payments are looked for whose webhook never came."""


class AskCheckout(UserJob):
    """/deposit by a provider: make a checkout there, and send its address. No money moves.

    amount -- minor units that it adds to the balance.
    """

    kind = "replies.ask_checkout"
    provider: str = Field(pattern=r"^[a-z][a-z0-9_]{0,19}$")
    amount: int = Field(gt=0, lt=2**53)


class RecordProviderPayment(Job):
    """A provider says how a payment stands: record it, and book what it leads to.

    event_id -- the same if it is told again; mark -- the same while it says the same.
    payment_id -- the provider's. paid, refunded, fee -- minor units of paid_currency; refunded is all so far.
    order -- what its checkout promised; empty if it has none. paid_at -- seconds since 1970.
    """

    kind = "transactions.record_provider_payment"
    provider: str = Field(pattern=r"^[a-z][a-z0-9_]{0,19}$")
    event_id: str = Field(min_length=1, max_length=200)
    mark: str = Field(min_length=1, max_length=64)
    payment_id: str = Field(min_length=1, max_length=200)
    paid: int = Field(gt=0, lt=2**63)
    paid_currency: str = Field(min_length=1, max_length=16)
    refunded: int = Field(ge=0, lt=2**63)
    fee: int | None = Field(default=None, ge=0, lt=2**63)
    order: str = Field(default="", max_length=200)
    paid_at: int = Field(ge=0, lt=2**40)


class RecordProviderDispute(Job):
    """A provider says how a dispute about a payment stands: record it, and book what it leads to.

    event_id, mark -- as of a payment. disputed -- minor units of paid_currency.
    """

    kind = "transactions.record_provider_dispute"
    provider: str = Field(pattern=r"^[a-z][a-z0-9_]{0,19}$")
    event_id: str = Field(min_length=1, max_length=200)
    mark: str = Field(min_length=1, max_length=64)
    dispute_id: str = Field(min_length=1, max_length=200)
    payment_id: str = Field(min_length=1, max_length=200)
    disputed: int = Field(gt=0, lt=2**63)
    paid_currency: str = Field(min_length=1, max_length=16)
    state: Literal["open", "won", "lost"]


providers = BuiltInApp("transactions", tasks=["workers.tasks.providers"])

providers.built_in_job(AskCheckout, database="none")
providers.built_in_job(
    RecordProviderPayment,
    database="write",
    asked_by=None,
    needed="the provider has taken the money",
)
providers.built_in_job(
    RecordProviderDispute,
    database="write",
    asked_by=None,
    needed="the provider has taken the money back",
)
providers.built_in_button("checkout", button_data.CHECKOUT, leads_to=[AskCheckout])
# Two beats are harmless: a payment that both find is one job.
providers.schedule(
    "provider-sweep",
    "workers.payments.sweep",
    lambda *_: SWEEP_LOOK_SECONDS,
    queue="health",
    expires_before=30,
)
