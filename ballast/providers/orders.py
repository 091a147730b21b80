"""What a checkout promises: who is credited, and what. It comes back with the payment, where only whoever has the
provider's key can write it. So it needs no signature, and holds however settings change meanwhile.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ballast.providers import amounts
from ballast.providers.provider import Payment, Provider
from dbcore.settings import Settings

_ORDER = re.compile(
    r"b1:(?P<bot_id>[1-9]\d{0,18}):(?P<telegram_id>[1-9]\d{0,15}):(?P<amount>[1-9]\d{0,15}):(?P<currency>[A-Z0-9]{2,12})"
    r":(?P<price>[1-9]\d{0,17}):(?P<price_currency>[A-Z0-9]{2,12})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Order:
    """amount -- minor units of the bot's currency, credited for `price`, which is minor units of the provider's."""

    telegram_id: int
    amount: int
    currency: str
    price: int
    price_currency: str


def of(telegram_id: int, amount: int, provider: Provider, settings: Settings) -> Order:
    """What an amount costs there today."""
    price = amounts.price_of(amount, settings.currency_exponent, provider.rate, provider.exponent)
    return Order(telegram_id, amount, settings.currency, price, provider.currency)


def write(order: Order, settings: Settings) -> str:
    credited, paid = f"{order.amount}:{order.currency}", f"{order.price}:{order.price_currency}"
    return f"b1:{settings.bot_id}:{order.telegram_id}:{credited}:{paid}"


def read(text: str, settings: Settings) -> Order | None:
    """None if it is no order of this bot: others may have the same account with the provider."""
    found = _ORDER.fullmatch(text)
    if found is None or int(found["bot_id"]) != settings.bot_id:
        return None
    return Order(
        int(found["telegram_id"]),
        int(found["amount"]),
        found["currency"],
        int(found["price"]),
        found["price_currency"],
    )


def is_kept(order: Order, payment: Payment, settings: Settings) -> bool:
    """Whether what was paid is what was asked."""
    return (order.price, order.price_currency, order.currency) == (
        payment.amount,
        payment.currency,
        settings.currency,
    )
