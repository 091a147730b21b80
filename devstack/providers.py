"""Crypto Pay and Stripe on 127.0.0.1: what their adapters ask, as far as they ask it, and webhooks at anybody's
command: again, late, in any order, changed, and forged.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

import aiohttp
from aiohttp import web

CRYPTO_PAY_TOKEN = "1:local-crypto-pay"
STRIPE_KEY = "sk_test_local"
STRIPE_SECRET = "whsec_local"
STRIPE_FEE = 59
CRYPTO_PAY_FEE = "0.15"


@dataclass(frozen=True, slots=True)
class Told:
    """A webhook that may be sent any number of times."""

    provider: str
    event: dict[str, Any]

    def request(
        self, *, at: float | None = None, secret: str | None = None, **changes: Any
    ) -> tuple[bytes, dict[str, str]]:
        """Body and headers of one try. changes -- of what it says, whose signature is right all the same."""
        now = time.time() if at is None else at
        event = {**self.event, **changes}
        if self.provider == "crypto_pay":
            event["request_date"] = _iso(now)
            body = json.dumps(event).encode()
            key = hashlib.sha256((secret or CRYPTO_PAY_TOKEN).encode()).digest()
            return body, {"Crypto-Pay-API-Signature": hmac.new(key, body, hashlib.sha256).hexdigest()}
        event["pending_webhooks"] = int(now * 1000) % 7
        body = json.dumps(event).encode()
        signed = hmac.new((secret or STRIPE_SECRET).encode(), b"%d." % int(now) + body, hashlib.sha256)
        return body, {"Stripe-Signature": f"t={int(now)},v1={signed.hexdigest()}"}


@dataclass
class LocalProviders:
    """Both, behind one address. `answers` False: each request is answered 503.

    invoices, sessions, charges, refunds -- by their ids, as the providers tell them. disputes -- by their payments.
    transfers -- what Crypto Pay paid out, by the key of each. available -- what it has to pay from.
    loses -- so many of the next transfers are made, and their answers are lost. late_seconds -- until one is made.
    hides_transfers -- they are not listed. lies -- what its answers say of transfers instead. garbage -- the body of
        each answer, instead of it. port -- any that is free unless given. numbers -- of what it makes, in their order.
    """

    answers: bool = True
    asked: list[str] = field(default_factory=list)
    invoices: dict[str, dict[str, Any]] = field(default_factory=dict)
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    charges: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    disputes: dict[str, dict[str, Any]] = field(default_factory=dict)
    transfers: dict[str, dict[str, Any]] = field(default_factory=dict)
    available: str = "1000"
    loses: int = 0
    late_seconds: float = 0.0
    lies: dict[str, Any] = field(default_factory=dict)
    garbage: bytes | None = None
    hides_transfers: bool = False
    url: str = ""
    port: int = 0
    numbers: count[int] = field(default_factory=lambda: count(1))
    _keys: dict[str, str] = field(default_factory=dict)
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> LocalProviders:
        app = web.Application(middlewares=[self._door])
        app.add_routes(
            [
                web.post("/api/createInvoice", self._create_invoice),
                web.post("/api/getInvoices", self._get_invoices),
                web.post("/api/transfer", self._transfer),
                web.post("/api/getTransfers", self._get_transfers),
                web.post("/api/getBalance", self._get_balance),
                web.post("/v1/checkout/sessions", self._create_session),
                web.get("/v1/charges", self._list_charges),
                web.get("/v1/refunds", self._list_refunds),
                web.get("/v1/disputes", self._list_disputes),
                web.get("/v1/payment_intents/{id}", self._payment_intent),
            ]
        )
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    # What people do there

    def pay_invoice(self, invoice_id: str) -> Told:
        """Somebody pays an invoice of Crypto Pay; the webhook that tells it."""
        invoice = self.invoices[invoice_id]
        now = time.time()
        paid = {"status": "paid", "paid_at": _iso(now), "paid_asset": invoice["asset"]}
        paid |= {
            "paid_amount": invoice["amount"],
            "fee_asset": invoice["asset"],
            "fee_amount": CRYPTO_PAY_FEE,
        }
        invoice |= paid
        event = {"update_id": 1, "update_type": "invoice_paid", "payload": dict(invoice)}
        return Told("crypto_pay", event)

    def pay_session(self, session_id: str) -> Told:
        """Somebody pays a session of Stripe Checkout; the webhook that tells it."""
        session = self.sessions[session_id]
        intent = f"pi_{session_id}"
        session |= {"payment_status": "paid", "status": "complete", "payment_intent": intent}
        self.charges[intent] = {
            "id": f"ch_{session_id}",
            "object": "charge",
            "payment_intent": intent,
            "status": "succeeded",
            "captured": True,
            "amount": session["amount_total"],
            "amount_captured": session["amount_total"],
            "amount_refunded": 0,
            "currency": session["currency"],
            "metadata": session["metadata"],
            "created": int(time.time()),
            "balance_transaction": {"fee": STRIPE_FEE, "currency": session["currency"]},
        }
        return self._told("checkout.session.completed", session)

    def refund_charge(self, intent: str, amount: int) -> Told:
        """The operator of the account gives money back; the webhook that tells it."""
        charge = self.charges[intent]
        charge["amount_refunded"] += amount
        refund_id = f"re_{next(self.numbers)}"
        self.refunds[refund_id] = {
            "id": refund_id,
            "payment_intent": intent,
            "amount": amount,
            "created": int(time.time()),
        }
        return self._told("charge.refunded", _unexpanded(charge))

    def dispute_charge(self, intent: str, amount: int, status: str = "needs_response") -> Told:
        """The payer's bank takes money back, or says how that stands; the webhook that tells it."""
        dispute = self.disputes.setdefault(
            intent,
            {
                "id": f"dp_{next(self.numbers)}",
                "object": "dispute",
                "amount": amount,
                "currency": self.charges[intent]["currency"],
                "charge": self.charges[intent]["id"],
                "payment_intent": intent,
                "reason": "fraudulent",
                "created": int(time.time()),
            },
        )
        kind = "created" if "status" not in dispute else "closed" if status in {"won", "lost"} else "updated"
        dispute["status"] = status
        return self._told(f"charge.dispute.{kind}", dispute)

    def _told(self, kind: str, subject: dict[str, Any]) -> Told:
        event_id = f"evt_{next(self.numbers)}"
        event = {"id": event_id, "type": kind, "created": int(time.time()), "data": {"object": dict(subject)}}
        return Told("stripe", event)

    # What is asked

    @web.middleware
    async def _door(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        if not self.answers:
            return web.json_response({"error": "not now"}, status=503)
        is_crypto_pay = request.path.startswith("/api/")
        given = request.headers.get("Crypto-Pay-API-Token" if is_crypto_pay else "Authorization")
        if given != (CRYPTO_PAY_TOKEN if is_crypto_pay else f"Bearer {STRIPE_KEY}"):
            return web.json_response(
                {"ok": False, "error": {"code": 401, "name": "UNAUTHORIZED"}}, status=401
            )
        answer: web.StreamResponse = await handler(request)
        return answer if self.garbage is None else web.Response(body=self.garbage)

    async def _create_invoice(self, request: web.Request) -> web.Response:
        asked = await request.json()
        number = next(self.numbers)
        invoice = {
            "invoice_id": number,
            "status": "active",
            "currency_type": asked["currency_type"],
            "asset": asked["asset"],
            "amount": asked["amount"],
            "payload": asked["payload"],
            "description": asked["description"],
            "bot_invoice_url": f"https://t.me/CryptoBot?start=IV{number}",
            "created_at": _iso(time.time()),
        }
        self.invoices[str(number)] = invoice
        return web.json_response({"ok": True, "result": invoice})

    async def _get_invoices(self, request: web.Request) -> web.Response:
        asked = await request.json()
        ids = set(asked["invoice_ids"].split(",")) if "invoice_ids" in asked else None
        found = [
            invoice
            for number, invoice in reversed(self.invoices.items())
            if (ids is None or number in ids) and asked.get("status") in (None, invoice["status"])
        ]
        offset, most = asked.get("offset", 0), asked.get("count", 100)
        return web.json_response({"ok": True, "result": {"items": found[offset : offset + most]}})

    async def _transfer(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        await asyncio.sleep(self.late_seconds)
        key = asked["spend_id"]
        if key in self.transfers:
            return _refusal("SPEND_ID_ALREADY_USED")
        if Decimal(asked["amount"]) > Decimal(self.available):
            return _refusal("NOT_ENOUGH_COINS")
        self.available = str(Decimal(self.available) - Decimal(asked["amount"]))
        made = {
            "transfer_id": next(self.numbers),
            "spend_id": key,
            "user_id": asked["user_id"],
            "asset": asked["asset"],
            "amount": asked["amount"],
            "status": "completed",
            "completed_at": _iso(time.time()),
        }
        self.transfers[key] = made
        if self.loses:
            self.loses -= 1
            return web.json_response({"error": "lost"}, status=502)
        return web.json_response({"ok": True, "result": {**made, **self.lies}})

    async def _get_transfers(self, request: web.Request) -> web.Response:
        asked = await request.json()
        made = None if self.hides_transfers else self.transfers.get(asked["spend_id"])
        return web.json_response(
            {"ok": True, "result": {"items": [] if made is None else [{**made, **self.lies}]}}
        )

    async def _get_balance(self, _: web.Request) -> web.Response:
        row = {"currency_code": "USDT", "available": self.available, "onhold": "0"}
        return web.json_response({"ok": True, "result": [row]})

    async def _create_session(self, request: web.Request) -> web.Response:
        form = await request.post()
        key = request.headers["Idempotency-Key"]
        if key not in self._keys:
            item = "line_items[0][price_data]"
            number = f"cs_{next(self.numbers)}"
            self._keys[key] = number
            self.sessions[number] = {
                "id": number,
                "object": "checkout.session",
                "mode": form["mode"],
                "status": "open",
                "payment_status": "unpaid",
                "payment_intent": None,
                "amount_total": int(str(form[f"{item}[unit_amount]"])),
                "currency": form[f"{item}[currency]"],
                "metadata": {"ballast_order": form["payment_intent_data[metadata][ballast_order]"]},
                "url": f"https://checkout.stripe.com/c/pay/{number}",
            }
        return web.json_response(self.sessions[self._keys[key]])

    async def _list_charges(self, request: web.Request) -> web.Response:
        return _page(request, list(self.charges.values()))

    async def _list_refunds(self, request: web.Request) -> web.Response:
        return _page(request, list(self.refunds.values()))

    async def _list_disputes(self, request: web.Request) -> web.Response:
        return _page(request, list(self.disputes.values()))

    async def _payment_intent(self, request: web.Request) -> web.Response:
        charge = self.charges.get(request.match_info["id"])
        if charge is None:
            return web.json_response({"error": {"code": "resource_missing"}}, status=404)
        return web.json_response({"id": charge["payment_intent"], "latest_charge": charge})


async def send(told: Told, frontend: str, **how: Any) -> tuple[int, str]:
    """One try of a webhook at a frontend's address; the status and Retry-After. how -- as of `Told.request`."""
    body, headers = told.request(**how)
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{frontend}/pay/{told.provider}", data=body, headers=headers) as answer,
    ):
        return answer.status, answer.headers.get("Retry-After", "")


def _page(request: web.Request, every: list[dict[str, Any]]) -> web.Response:
    """As Stripe pages: the newest first, from behind `starting_after`."""
    since, most = int(request.query.get("created[gte]", "0")), int(request.query.get("limit", "10"))
    found = [each for each in reversed(every) if each["created"] >= since]
    ids = [each["id"] for each in found]
    if "starting_after" in request.query:
        found = found[ids.index(request.query["starting_after"]) + 1 :]
    if "data.balance_transaction" not in request.query.getall("expand[]", []):
        found = [_unexpanded(each) for each in found]
    return web.json_response({"data": found[:most], "has_more": len(found) > most})


def _refusal(name: str) -> web.Response:
    """As Crypto Pay refuses."""
    return web.json_response({"ok": False, "error": {"code": 400, "name": name}}, status=400)


def _unexpanded(charge: dict[str, Any]) -> dict[str, Any]:
    return {**charge, "balance_transaction": "txn_1"} if "balance_transaction" in charge else charge


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
