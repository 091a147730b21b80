"""The adapters against recorded webhooks of the providers, and against the local stand-ins by HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from ballast.providers import amounts
from ballast.providers.crypto_pay import CryptoPay
from ballast.providers.provider import (
    Checkout,
    Dispute,
    Forged,
    Payment,
    Provider,
    Refused,
    TellsOfDisputes,
    Unanswered,
)
from ballast.providers.stripe import Stripe
from devstack import providers as local
from devstack.providers import LocalProviders

# As the providers' documentation shows them, with the fields in their order.
RECORDED_INVOICE = {
    "update_id": 1,
    "update_type": "invoice_paid",
    "request_date": "2026-11-25T10:00:05.000Z",
    "payload": {
        "invoice_id": 528_890,
        "hash": "IVDoTcNBYEfk",
        "currency_type": "crypto",
        "asset": "USDT",
        "amount": "12.5",
        "paid_asset": "USDT",
        "paid_amount": "12.5",
        "fee_asset": "USDT",
        "fee_amount": 0.375,
        "fee": "0.375",
        "fee_in_usd": "0.375",
        "pay_url": "https://t.me/CryptoBot?start=IVDoTcNBYEfk",
        "bot_invoice_url": "https://t.me/CryptoBot?start=IVDoTcNBYEfk",
        "description": "12.50 CREDIT",
        "status": "paid",
        "created_at": "2026-11-25T09:59:00.000Z",
        "allow_comments": False,
        "allow_anonymous": True,
        "paid_usd_rate": "1.0001",
        "paid_at": "2026-11-25T10:00:04.118Z",
        "paid_anonymously": False,
        "payload": "the order",
    },
}
RECORDED_SESSION = {
    "id": "evt_1QAbcDE",
    "object": "event",
    "api_version": "2024-06-20",
    "created": 1_764_064_804,
    "data": {
        "object": {
            "id": "cs_test_a1b2",
            "object": "checkout.session",
            "amount_subtotal": 1250,
            "amount_total": 1250,
            "currency": "usd",
            "metadata": {"ballast_order": "the order"},
            "mode": "payment",
            "payment_intent": "pi_3QAbc",
            "payment_status": "paid",
            "status": "complete",
        }
    },
    "livemode": False,
    "pending_webhooks": 1,
    "request": {"id": None, "idempotency_key": None},
    "type": "checkout.session.completed",
}
RECORDED_REFUND = {
    "id": "evt_3QAbcR",
    "object": "event",
    "created": 1_764_065_000,
    "data": {
        "object": {
            "id": "ch_3QAbc",
            "object": "charge",
            "amount": 1250,
            "amount_captured": 1250,
            "amount_refunded": 500,
            "balance_transaction": "txn_3QAbc",
            "captured": True,
            "created": 1_764_064_803,
            "currency": "usd",
            "metadata": {"ballast_order": "the order"},
            "paid": True,
            "payment_intent": "pi_3QAbc",
            "refunded": False,
            "status": "succeeded",
        },
        "previous_attributes": {"amount_refunded": 0},
    },
    "pending_webhooks": 1,
    "type": "charge.refunded",
}
RECORDED_DISPUTE: dict[str, Any] = {
    "id": "evt_1QDisp",
    "object": "event",
    "created": 1_764_066_000,
    "data": {
        "object": {
            "id": "du_1Q",
            "object": "dispute",
            "amount": 1250,
            "balance_transactions": [],
            "charge": "ch_3QAbc",
            "created": 1_764_065_990,
            "currency": "usd",
            "evidence_details": {"due_by": 1_764_700_000, "has_evidence": False},
            "is_charge_refundable": False,
            "metadata": {},
            "payment_intent": "pi_3QAbc",
            "reason": "fraudulent",
            "status": "needs_response",
        }
    },
    "type": "charge.dispute.created",
}
CHECKOUT = Checkout(order="the order", price=1250, title="12.50 CREDIT", key="k1")


def crypto_pay(url: str = "http://127.0.0.1:1", token: str = local.CRYPTO_PAY_TOKEN) -> CryptoPay:
    return CryptoPay(token, asset="USDT", rate=Decimal(1), url=url)


def stripe(url: str = "http://127.0.0.1:1", key: str = local.STRIPE_KEY) -> Stripe:
    return Stripe(
        key, local.STRIPE_SECRET, currency="USD", rate=Decimal(1), url=url, return_url="https://t.me/shop"
    )


def of_crypto_pay(event: Any) -> tuple[bytes, dict[str, str]]:
    body = json.dumps(event).encode()
    key = hashlib.sha256(local.CRYPTO_PAY_TOKEN.encode()).digest()
    return body, {"crypto-pay-api-signature": hmac.new(key, body, hashlib.sha256).hexdigest()}


def of_stripe(event: Any) -> tuple[bytes, dict[str, str]]:
    body, now = json.dumps(event).encode(), int(time.time())
    signed = hmac.new(local.STRIPE_SECRET.encode(), b"%d." % now + body, hashlib.sha256).hexdigest()
    return body, {"stripe-signature": f"t={now},v1={signed}"}


@pytest_asyncio.fixture
async def stand_in() -> AsyncIterator[LocalProviders]:
    async with LocalProviders() as providers:
        yield providers


async def listed(provider: Provider, since: float = 0.0) -> list[Payment]:
    return [payment async for payment in provider.payments_since(since)]


def test_a_recorded_invoice_is_read_and_known_by_its_invoice() -> None:
    event = crypto_pay().read_event(*of_crypto_pay(RECORDED_INVOICE))
    assert event is not None
    assert event.id == "invoice_paid:528890"
    assert event.payment == Payment(
        "528890", 12_500_000, "USDT", "the order", paid_at=1_795_600_804, fee=375_000
    )
    again = {**RECORDED_INVOICE, "request_date": "2026-11-25T11:00:05.000Z", "update_id": 7}
    assert crypto_pay().read_event(*of_crypto_pay(again)) == event
    changed = {**RECORDED_INVOICE, "payload": {**RECORDED_INVOICE["payload"], "amount": "125"}}  # type: ignore[dict-item]
    other = crypto_pay().read_event(*of_crypto_pay(changed))
    assert other is not None
    assert (other.id, other.said == event.said) == (event.id, False)


def test_recorded_events_of_stripe_are_one_payment_by_its_intent() -> None:
    paid, refunded = (stripe().read_event(*of_stripe(each)) for each in (RECORDED_SESSION, RECORDED_REFUND))
    assert paid is not None
    assert refunded is not None
    assert paid.payment == Payment("pi_3QAbc", 1250, "USD", "the order", paid_at=1_764_064_804)
    assert refunded.payment == Payment(
        "pi_3QAbc", 1250, "USD", "the order", paid_at=1_764_064_803, refunded=500
    )
    again = stripe().read_event(*of_stripe({**RECORDED_SESSION, "pending_webhooks": 0}))
    assert again == paid


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("needs_response", "open"),
        ("under_review", "open"),
        ("won", "won"),
        ("lost", "lost"),
        ("warning_needs_response", None),
        ("warning_closed", None),
    ],
)
def test_a_dispute_is_read_as_how_it_stands_and_a_question_is_none(status: str, state: Any) -> None:
    event = {**RECORDED_DISPUTE, "data": {"object": {**RECORDED_DISPUTE["data"]["object"], "status": status}}}
    told = stripe().read_event(*of_stripe(event))
    about = None if told is None else told.payment
    assert about == (None if state is None else Dispute("du_1Q", "pi_3QAbc", 1250, "USD", state))


async def test_disputes_are_listed_too(stand_in: LocalProviders) -> None:
    adapter = stripe(stand_in.url)
    session = await adapter.checkout(CHECKOUT)
    assert session
    (session_id,) = stand_in.sessions
    stand_in.pay_session(session_id)
    stand_in.dispute_charge(f"pi_{session_id}", 700)
    found = [each async for each in adapter.disputes_since(0)]
    assert [(each.payment_id, each.amount, each.state) for each in found] == [
        (f"pi_{session_id}", 700, "open")
    ]
    assert isinstance(adapter, TellsOfDisputes)
    await adapter.close()


def test_what_tells_of_no_payment_is_nothing_and_what_cannot_be_read_is_forged() -> None:
    assert crypto_pay().read_event(*of_crypto_pay({"update_type": "hello"})) is None
    assert stripe().read_event(*of_stripe({"type": "ping", "data": {"object": {}}})) is None
    unpaid = json.loads(json.dumps(RECORDED_SESSION))
    unpaid["data"]["object"]["payment_status"] = "unpaid"
    assert stripe().read_event(*of_stripe(unpaid)) is None
    unreadable: tuple[Any, ...] = ([], {}, {"update_type": "invoice_paid"}, "x")
    for event in unreadable:
        with pytest.raises(Forged):
            crypto_pay().read_event(*of_crypto_pay(event))
        with pytest.raises(Forged):
            stripe().read_event(*of_stripe(event))


async def test_a_checkout_of_either_is_paid_listed_and_found(stand_in: LocalProviders) -> None:
    pay, checkout = crypto_pay(stand_in.url), stripe(stand_in.url)
    try:
        assert (await pay.checkout(CHECKOUT)).startswith("https://t.me/CryptoBot?start=")
        assert await checkout.checkout(CHECKOUT) == await checkout.checkout(CHECKOUT)
        ((number, invoice),) = stand_in.invoices.items()
        ((session, made),) = stand_in.sessions.items()
        assert (invoice["amount"], invoice["payload"], made["amount_total"]) == ("0.00125", "the order", 1250)
        assert (await listed(pay), await listed(checkout)) == ([], [])
        stand_in.pay_invoice(number)
        stand_in.pay_session(session)
        assert [(each.id, each.amount, each.fee) for each in await listed(pay)] == [(number, 1250, 150_000)]
        (paid,) = await listed(checkout)
        assert (paid.amount, paid.refunded, paid.fee) == (1250, 0, local.STRIPE_FEE)
        stand_in.refund_charge(paid.id, 250)
        stand_in.charges[paid.id]["created"] -= 40 * 86_400  # paid long before
        (refunded,) = await listed(checkout, time.time() - 60)
        assert (refunded.id, refunded.refunded) == (paid.id, 250)
        assert await checkout.payment("pi_unknown") is None
        assert await pay.payment("99") is None
    finally:
        await pay.close()
        await checkout.close()


async def test_long_lists_are_read_to_their_end(stand_in: LocalProviders) -> None:
    pay, checkout = crypto_pay(stand_in.url), stripe(stand_in.url)
    try:
        for number in range(205):
            await pay.checkout(CHECKOUT)
            await checkout.checkout(Checkout("o", 100, "t", f"k{number}"))
        for invoice in list(stand_in.invoices):
            stand_in.pay_invoice(invoice)
        for session in list(stand_in.sessions):
            stand_in.pay_session(session)
        assert len({each.id for each in await listed(pay)}) == 205
        assert len({each.id for each in await listed(checkout)}) == 205
    finally:
        await pay.close()
        await checkout.close()


async def test_a_provider_that_is_away_is_unanswered_and_a_wrong_key_is_refused(
    stand_in: LocalProviders,
) -> None:
    for provider in (crypto_pay(stand_in.url, "2:x"), stripe(stand_in.url, "sk_x")):
        with pytest.raises(Refused):
            await provider.checkout(CHECKOUT)
        await provider.close()
    stand_in.answers = False
    for provider in (crypto_pay(stand_in.url), stripe(stand_in.url), crypto_pay(), stripe()):
        with pytest.raises(Unanswered):
            await provider.checkout(CHECKOUT)
        await provider.close()


def test_amounts_are_whole_minor_units_or_refused() -> None:
    assert amounts.read("12.50", 2) == 1250
    assert amounts.written(1250, 2) == "12.5"
    assert amounts.written(100, 0) == "100"
    assert amounts.written(1, 9) == "0.000000001"
    assert amounts.read_rounded("0.0375004", 6) == 37_500
    for wrong in ("12.505", "NaN", "Infinity", "x", None):
        with pytest.raises(ValueError, match=r"amount|decimals"):
            amounts.read(wrong, 2)
    assert amounts.price_of(1000, 2, Decimal(1), 2) == 1000
    assert amounts.price_of(1000, 2, Decimal(3), 2) == 334  # rounded up
    assert amounts.exponent_at_stripe("JPY") == 0
