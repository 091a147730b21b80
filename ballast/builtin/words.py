"""Words that the frontend and the workers share, and how people are told what waits: amounts and names, harmless in
Telegram's HTML.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ballast.texts import gettext, gettext_noop
from ballast.texts.formats import amount
from dbcore.sentences import Sentence, sentence
from dbcore.settings import Settings

DECISIONS = (gettext_noop("Confirm"), gettext_noop("Cancel"))


def confirm() -> str:
    return gettext(DECISIONS[0])


def cancel() -> str:
    return gettext(DECISIONS[1])


def not_permitted() -> str:
    return gettext("You are not permitted to do that. Nothing was changed.")


def unknown_button() -> str:
    return gettext("This button no longer works. Please start again.")


def amount_shown(fields: Mapping[str, Any], settings: Settings) -> str:
    settings = settings.in_currency(fields.get("currency"))
    return amount(abs(int(fields.get("amount") or 0)), settings.currency_exponent, escape(settings.currency))


def shown(value: object) -> str:
    return escape(str(value), quote=False)


def decision_words(fields: Mapping[str, Any], _: Settings) -> Sentence:
    if fields.get("confirm"):
        return sentence("Your confirmation is saved, and I'll tell you the result {where} {until}.")
    return sentence("Your cancellation is saved, and I'll tell you the result {where} {until}.")
