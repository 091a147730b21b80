"""Invoices in Telegram Stars: what stands in their payload, which Telegram gives back with the question before a
payment and with the payment itself.

The payload is signed, so that the frontend knows an invoice of this bot from memory, and what it promised is credited
even if STARS_RATE has changed since.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from fractions import Fraction

from dbcore.money import minor_units
from dbcore.settings import Settings

GOOD_FOR_SECONDS = 86_400
"""How long an invoice can be paid. A payment that was let through is credited however late it is reported."""

_PAYLOAD = re.compile(
    r"(?P<said>b1:(?P<stars>[1-9]\d{0,4}):(?P<amount>[1-9]\d{0,15}):(?P<currency>[A-Z0-9]{2,12}):(?P<until>\d{1,11}))"
    r":(?P<signature>[\w-]{22})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class StarInvoice:
    """amount -- minor units of the currency, credited for it. until -- seconds since 1970."""

    stars: int
    amount: int
    currency: str
    until: int


def are_on(settings: Settings) -> bool:
    """Whether people can pay: Telegram asks for support and terms of every bot that takes payments."""
    return None not in (settings.stars_support, settings.stars_terms, settings.telegram_bot_token)


def worth(stars: int, settings: Settings) -> int | None:
    """The minor units that so many Stars are credited as; None if that is no whole number or cannot be booked."""
    return minor_units(Fraction(settings.stars_rate) * stars, settings.currency_exponent)


def write(invoice: StarInvoice, settings: Settings) -> str:
    """The payload, of at most 128 bytes."""
    said = f"b1:{invoice.stars}:{invoice.amount}:{invoice.currency}:{invoice.until}"
    return f"{said}:{signature(said, settings)}"


def read(payload: str, settings: Settings) -> StarInvoice | None:
    """The invoice; None if this bot did not write it."""
    found = _PAYLOAD.fullmatch(payload)
    if found is None or not is_signed(found["said"], found["signature"], settings):
        return None
    return StarInvoice(int(found["stars"]), int(found["amount"]), found["currency"], int(found["until"]))


def stars_in(payload: str) -> int | None:
    """How many Stars an invoice was for that this bot wrote, perhaps with another token; None if it is no such payload.

    Only a bot's own program says what stands in its invoices, but what it promised is not proved: what is credited for
    it is not to be taken from there.
    """
    found = _PAYLOAD.fullmatch(payload)
    return None if found is None else int(found["stars"])


def is_signed(said: str, by: str, settings: Settings) -> bool:
    """Whether this bot wrote it, with the token that it has now."""
    return settings.telegram_bot_token is not None and hmac.compare_digest(by, signature(said, settings))


def signature(said: str, settings: Settings) -> str:
    """Of what stands in an invoice's payload, by a key that is made of the bot's token."""
    key = b"ballast star invoice " + settings.require("telegram_bot_token").encode()
    digest = hmac.new(key, said.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")
