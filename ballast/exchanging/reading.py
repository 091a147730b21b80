"""What somebody writes behind /exchange: `5 EUR CREDIT`, `5 € to CREDIT`. Pure, and never a guess: both currencies are
named, for `5 EUR` could be what is given or what is wanted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dbcore.currencies import Currencies, Currency
from dbcore.money import Money, parse_money

_INTO = re.compile(r"\s+(?:to|in|into|for|→|->)\s*$", re.IGNORECASE)
_NO_NUMBER = re.compile(r"[^\d\s.,+\-]+")


@dataclass(frozen=True)
class Wanted:
    """given -- the amount. got -- the currency that it is exchanged for, another than that of `given`."""

    given: Money
    got: Currency


def read(text: str, currencies: Currencies) -> Wanted | None:
    """None if one of the two currencies is not named. Raises AmountError, which can be shown to the person."""
    amount, _, word = text.strip().rpartition(" ")
    got = currencies.meant_by(word)
    amount = _INTO.sub("", f"{amount} ").strip()
    if got is None or not any(map(currencies.meant_by, _NO_NUMBER.findall(amount))):
        return None
    given = parse_money(amount, currencies)
    return None if given.currency == got else Wanted(given, got)
