"""Stripe Checkout: a page of Stripe's where a sum is paid. A payment is known by its PaymentIntent.

https://docs.stripe.com/api. What was ordered stands in the metadata, which only the secret key can write. The webhook
is to be sent checkout.session.completed, checkout.session.async_payment_succeeded, charge.succeeded,
charge.refunded and charge.dispute.*.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from typing import Any, Literal

from ballast.providers import amounts
from ballast.providers.http import Http
from ballast.providers.provider import GARBAGE, Checkout, Dispute, Event, Payment, Refused, Unreadable
from ballast.providers.signatures import verify_stripe

VERSION = "2024-06-20"
ORDER = "ballast_order"
PAGE = 100
PAGES_MAX = 1_000
TITLE_LENGTH_MAX = 250
_NOT_FOUND = 404

_OF_SESSIONS = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
_OF_CHARGES = ("charge.succeeded", "charge.refunded")
_OF_DISPUTES = "charge.dispute."
_DISPUTED: dict[str, Literal["open", "won", "lost"]] = {
    "needs_response": "open",
    "under_review": "open",
    "won": "won",
    "lost": "lost",
}
"""By the status there. Those that begin with `warning_` are questions, and take no money."""


class Stripe:
    """
    return_url -- where the payer gets to afterwards.
    clock -- seconds since 1970, against which the time of a signature is checked.
    """

    name = "stripe"
    title = "Stripe"

    def __init__(
        self,
        key: str,
        webhook_secret: str,
        *,
        currency: str,
        rate: Decimal,
        url: str,
        return_url: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.currency, self.exponent, self.rate = currency, amounts.exponent_at_stripe(currency), rate
        self._secret = webhook_secret.encode()
        self._return_url = return_url
        self._clock = clock
        self._http = Http(url, {"Authorization": f"Bearer {key}", "Stripe-Version": VERSION})

    async def checkout(self, checkout: Checkout) -> str:
        item = "line_items[0]"
        session = await self._http.ask(
            "POST",
            "/v1/checkout/sessions",
            data={
                "mode": "payment",
                "success_url": self._return_url,
                f"{item}[quantity]": "1",
                f"{item}[price_data][currency]": self.currency.lower(),
                f"{item}[price_data][unit_amount]": str(checkout.price),
                f"{item}[price_data][product_data][name]": checkout.title[:TITLE_LENGTH_MAX],
                f"metadata[{ORDER}]": checkout.order,
                f"payment_intent_data[metadata][{ORDER}]": checkout.order,
            },
            headers={"Idempotency-Key": checkout.key},
        )
        return str(session["url"])

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event | None:
        verify_stripe(self._secret, body, headers.get("stripe-signature"), now=self._clock())
        try:
            told = json.loads(body)
            payment: Payment | Dispute | None = None
            subject = told["data"]["object"]
            if told["type"] in _OF_SESSIONS:
                payment = _of_session(subject, int(told["created"]))
            elif told["type"] in _OF_CHARGES:
                payment = _of_charge(subject)
            elif told["type"].startswith(_OF_DISPUTES):
                payment = _of_dispute(subject)
            if payment is None:
                return None
            # Without pending_webhooks, which counts down from one try to the next.
            said = json.dumps([told["type"], told["data"]], sort_keys=True)
            return Event(str(told["id"]), said, payment)
        except GARBAGE as error:
            raise Unreadable(f"it cannot be read: {type(error).__name__}") from error

    async def payments_since(self, since: float) -> AsyncIterator[Payment]:
        """The charges made since then, and the payments that were refunded since."""
        told: set[str] = set()
        async for charge in self._listed("/v1/charges", since, "data.balance_transaction"):
            payment = _of_charge(charge)
            if payment is not None:
                told.add(payment.id)
                yield payment
        async for refund in self._listed("/v1/refunds", since):
            payment_id = refund.get("payment_intent")
            if isinstance(payment_id, str) and payment_id not in told:
                told.add(payment_id)
                payment = await self.payment(payment_id)
                if payment is not None:
                    yield payment

    async def disputes_since(self, since: float) -> AsyncIterator[Dispute]:
        async for dispute in self._listed("/v1/disputes", since):
            found = _of_dispute(dispute)
            if found is not None:
                yield found

    async def payment(self, payment_id: str) -> Payment | None:
        try:
            intent = await self._http.ask(
                "GET",
                f"/v1/payment_intents/{payment_id}",
                query={"expand[]": "latest_charge.balance_transaction"},
            )
        except Refused as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        charge = intent.get("latest_charge")
        return _of_charge(charge) if isinstance(charge, dict) else None

    async def close(self) -> None:
        await self._http.close()

    async def _listed(
        self, path: str, since: float, expand: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        query = {"created[gte]": str(int(since)), "limit": str(PAGE)}
        if expand is not None:
            query["expand[]"] = expand
        for _ in range(PAGES_MAX):
            page = await self._http.ask("GET", path, query=query)
            for each in page["data"]:
                yield each
            if not page["has_more"] or not page["data"]:
                return
            query["starting_after"] = str(page["data"][-1]["id"])


def _of_session(session: dict[str, Any], told_at: int) -> Payment | None:
    """None while it is not paid: some ways to pay take days."""
    if session["payment_status"] != "paid" or session["mode"] != "payment":
        return None
    return Payment(
        id=str(session["payment_intent"]),
        amount=int(session["amount_total"]),
        currency=str(session["currency"]).upper(),
        order=_order(session),
        paid_at=told_at,
    )


def _of_charge(charge: dict[str, Any]) -> Payment | None:
    if charge["status"] != "succeeded" or not charge["captured"]:
        return None
    booked = charge.get("balance_transaction")
    fee = None
    if isinstance(booked, dict) and booked["currency"] == charge["currency"]:
        fee = max(0, int(booked["fee"]))
    return Payment(
        id=str(charge.get("payment_intent") or charge["id"]),
        amount=int(charge["amount_captured"]),
        currency=str(charge["currency"]).upper(),
        order=_order(charge),
        paid_at=int(charge["created"]),
        refunded=int(charge["amount_refunded"]),
        fee=fee,
    )


def _of_dispute(dispute: dict[str, Any]) -> Dispute | None:
    state = _DISPUTED.get(str(dispute["status"]))
    if state is None:
        return None
    return Dispute(
        id=str(dispute["id"]),
        payment_id=str(dispute.get("payment_intent") or dispute["charge"]),
        amount=int(dispute["amount"]),
        currency=str(dispute["currency"]).upper(),
        state=state,
    )


def _order(subject: dict[str, Any]) -> str:
    return str((subject.get("metadata") or {}).get(ORDER, ""))
