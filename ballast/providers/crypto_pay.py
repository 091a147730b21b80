"""Crypto Pay, of the bot @CryptoBot: an invoice in one of its assets, paid in Telegram.

https://help.crypt.bot/crypto-pay-api. The number of an update there is not unique, and each try has a time of its own:
so an event is known by what it says of which invoice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from ballast.payouts.adapter import PayoutState
from ballast.providers import amounts
from ballast.providers.http import Http
from ballast.providers.provider import (
    GARBAGE,
    Checkout,
    Event,
    Payment,
    Refused,
    Unanswered,
    Unreadable,
)
from ballast.providers.signatures import verify_hmac_sha256

CHECKOUT_SECONDS = 86_400
PAGE = 200
PAGES_MAX = 500
DESCRIPTION_LENGTH_MAX = 1_024
_IS_USED = "SPEND_ID"
"""In the name of the refusal of a key that was used before."""


class CryptoPay:
    """It tells of no refunds: an app of Crypto Pay gives money back by a transfer."""

    name = "crypto_pay"
    title = "Crypto Pay"
    asks_destination = False

    def __init__(self, token: str, *, asset: str, rate: Decimal, url: str) -> None:
        self.currency, self.exponent, self.rate = asset, amounts.OF_ASSETS[asset], rate
        self._key = hashlib.sha256(token.encode()).digest()
        self._http = Http(url, {"Crypto-Pay-API-Token": token})

    async def checkout(self, checkout: Checkout) -> str:
        invoice = await self._ask(
            "createInvoice",
            {
                "currency_type": "crypto",
                "asset": self.currency,
                "amount": amounts.written(checkout.price, self.exponent),
                "description": checkout.title[:DESCRIPTION_LENGTH_MAX],
                "payload": checkout.order,
                "allow_comments": False,
                "expires_in": CHECKOUT_SECONDS,
            },
        )
        return str(invoice["bot_invoice_url"])

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event | None:
        verify_hmac_sha256(self._key, body, headers.get("crypto-pay-api-signature"))
        try:
            told = json.loads(body)
            if told["update_type"] != "invoice_paid":
                return None
            payment = self._payment(told["payload"])
        except GARBAGE as error:
            raise Unreadable(f"it cannot be read: {type(error).__name__}") from error
        if payment is None:
            return None
        said = json.dumps(told["payload"], sort_keys=True)
        return Event(f"invoice_paid:{payment.id}", said, payment)

    async def payments_since(self, since: float) -> AsyncIterator[Payment]:
        """Its list is the newest first, by when invoices were made; one is paid within a day."""
        for page in range(PAGES_MAX):
            listed = await self._ask("getInvoices", {"status": "paid", "offset": page * PAGE, "count": PAGE})
            items = listed["items"]
            for item in items:
                payment = self._payment(item)
                if payment is not None and payment.paid_at >= since:
                    yield payment
            if len(items) < PAGE or _seconds(items[-1]["created_at"]) < since - CHECKOUT_SECONDS:
                return

    async def payment(self, payment_id: str) -> Payment | None:
        listed = await self._ask("getInvoices", {"invoice_ids": payment_id})
        return self._payment(listed["items"][0]) if listed["items"] else None

    # Payouts, as ballast/payouts has them: a transfer to somebody's account there, which is their Telegram account.

    def read_destination(self, text: str, telegram_id: int) -> str:
        """Whoever asks: to another account it would be theirs to send."""
        return str(telegram_id)

    async def pay(self, key: str, amount: int, destination: str) -> str:
        wanted = {
            "user_id": int(destination),
            "asset": self.currency,
            "amount": amounts.written(amount, self.exponent),
            "spend_id": key,
        }
        try:
            transfer = await self._ask("transfer", wanted)
        except Refused as refused:
            # A key that was used is refused as well: what it stands for there is the truth.
            try:
                made = await self.payout(key, amount, destination)
            except Refused as error:
                raise Unanswered(f"it does not say how a transfer stands: {error}") from error
            if made is None and _IS_USED in str(refused):
                raise Unanswered("it knows the key, and does not list its transfer") from refused
            if made is None:
                raise
            return made.text
        return self._reference(transfer, key, amount, destination)

    async def payout(self, key: str, amount: int, destination: str) -> PayoutState | None:
        listed = await self._ask("getTransfers", {"spend_id": key})
        for item in listed["items"]:
            if item["spend_id"] == key:
                return PayoutState("paid", self._reference(item, key, amount, destination))
        return None

    def _reference(self, transfer: dict[str, Any], key: str, amount: int, destination: str) -> str:
        """Raises Unanswered if it is another transfer than was asked for, or one that is not made."""
        said = (
            transfer["spend_id"],
            transfer["status"],
            str(transfer["asset"]),
            amounts.read(transfer["amount"], self.exponent),
            str(transfer["user_id"]),
        )
        if said != (key, "completed", self.currency, amount, destination):
            raise Unanswered(f"it tells of another transfer: {said}")
        return str(int(transfer["transfer_id"]))

    async def balance(self) -> int:
        for each in await self._ask("getBalance", {}):
            if each["currency_code"] == self.currency:
                return amounts.read_rounded(each["available"], self.exponent)
        return 0

    async def close(self) -> None:
        await self._http.close()

    async def _ask(self, method: str, parameters: dict[str, Any]) -> Any:
        answer = await self._http.ask("POST", f"/api/{method}", body=parameters)
        if not answer.get("ok"):
            raise Refused(str(answer.get("error", {}).get("name", "no reason")))
        return answer["result"]

    def _payment(self, invoice: dict[str, Any]) -> Payment | None:
        """None if it was not paid, or is priced in what no amount here can say."""
        if invoice["status"] != "paid" or invoice.get("currency_type", "crypto") != "crypto":
            return None
        asset = str(invoice["asset"])
        if asset not in amounts.OF_ASSETS:
            return None
        exponent = amounts.OF_ASSETS[asset]
        fee = invoice.get("fee_amount") if invoice.get("fee_asset", asset) == asset else None
        return Payment(
            id=str(int(invoice["invoice_id"])),
            amount=amounts.read(invoice["amount"], exponent),
            currency=asset,
            order=str(invoice.get("payload") or ""),
            paid_at=int(_seconds(invoice["paid_at"])),
            fee=None if fee is None else amounts.read_rounded(fee, exponent),
        )


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()
