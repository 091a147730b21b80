"""An app with a provider of payments of its own, which signs by the generic scheme and has no list."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal

from pydantic import BaseModel

from ballast import App
from ballast.providers.provider import Checkout, Event, Forged, Payment
from ballast.providers.signatures import verify_hmac_sha256


class TillSettings(BaseModel):
    secret: str | None = None


app = App("till", settings=TillSettings)


class Till:
    name = "till"
    title = "The Till"
    currency = "EUR"
    exponent = 2
    rate = Decimal(4)

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    async def checkout(self, checkout: Checkout) -> str:
        return f"https://till.example/pay?order={checkout.order}&cents={checkout.price}"

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event | None:
        verify_hmac_sha256(self._secret, body, headers.get("x-signature"))
        try:
            told = json.loads(body)
            payment = Payment(told["payment"], told["cents"], "EUR", told["order"], paid_at=told["at"])
        except (ValueError, KeyError, TypeError) as error:
            raise Forged("it cannot be read") from error
        return Event(told["event"], body.decode(), payment)

    async def payments_since(self, since: float) -> AsyncIterator[Payment]:
        nothing: tuple[Payment, ...] = ()
        for payment in nothing:
            yield payment

    async def payment(self, payment_id: str) -> Payment | None:
        return None

    async def close(self) -> None: ...


@app.provider("till")
def till(settings: TillSettings) -> Till | None:
    return None if settings.secret is None else Till(settings.secret)
