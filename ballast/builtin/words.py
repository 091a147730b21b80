"""Words that the frontend and the workers share, and how people are told what waits: amounts and names, harmless in
Telegram's HTML.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ballast.builtin.declared import Words
from dbcore.money import format_amount
from dbcore.settings import Settings

DECISIONS = ("Confirm", "Cancel")
UNKNOWN_BUTTON = "This button no longer works. Please start again."


def amount_shown(fields: Mapping[str, Any], settings: Settings) -> str:
    return format_amount(
        abs(int(fields.get("amount") or 0)), settings.currency_exponent, escape(settings.currency)
    )


def shown(value: object) -> str:
    return escape(str(value), quote=False)


def decision_words(fields: Mapping[str, Any], _: Settings) -> Words:
    return ("Your confirmation" if fields.get("confirm") else "Your cancellation"), "tell you the result here"
