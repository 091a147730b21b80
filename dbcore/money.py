"""Money as people write and read it; inside it is always an integer of minor units beside its currency.

AmountError
├── NotANumber
├── ZeroAmount
├── NegativeAmount
├── TooManyDecimals
└── AmountTooLarge
"""

from __future__ import annotations

import re

MAX_AMOUNT = 10**15
"""The most minor units one transfer may move. A BIGINT holds nine thousand of these, so a sum never overflows
in the database; what a person meant by more than this is a slip of the finger."""

_PLAIN_NUMBER = re.compile(r"([+-]?)([0-9]*)(?:[.,]([0-9]*))?", re.ASCII)
_LONGEST_TEXT = 64


class AmountError(ValueError):
    """The text is no amount that can be moved. The message is a sentence for the person who wrote it."""


class NotANumber(AmountError):
    """Letters, signs, scientific notation, NaN, several separators: nothing that is read two ways."""


class ZeroAmount(AmountError):
    """Zero moves nothing."""


class NegativeAmount(AmountError):
    """The direction is said by the command, never by a sign."""


class TooManyDecimals(AmountError):
    """More decimals than the currency has. Never rounded: a person who wrote them meant them."""


class AmountTooLarge(AmountError):
    """Above MAX_AMOUNT."""


def parse_amount(text: str, exponent: int) -> int:
    """Read `5`, `5.5` or `5,50` as minor units of a currency with `exponent` decimals.

    Raises an AmountError whose message can be shown to the person.
    """
    match = _PLAIN_NUMBER.fullmatch(text.strip()[:_LONGEST_TEXT])
    if match is None or len(text.strip()) > _LONGEST_TEXT or not (match[2] or match[3]):
        raise NotANumber("The amount must be a plain number, such as 5 or 5.50.")
    sign, whole, decimals = match[1], match[2] or "0", match[3] or ""
    if sign == "-":
        raise NegativeAmount("The amount must be above zero.")
    if sign == "+":
        raise NotANumber("The amount must be a plain number without a sign, such as 5 or 5.50.")
    if len(decimals) > exponent:
        allowed = "no decimals" if exponent == 0 else f"at most {exponent} decimals"
        raise TooManyDecimals(f"The amount may have {allowed}.")
    minor = int(whole + decimals.ljust(exponent, "0"))
    if minor == 0:
        raise ZeroAmount("The amount must be above zero.")
    if minor > MAX_AMOUNT:
        raise AmountTooLarge("The amount is too large.")
    return minor


def format_amount(minor: int, exponent: int, currency: str) -> str:
    """Say minor units as a person reads them: `550` with two decimals is `5.50 CREDIT`."""
    sign = "-" if minor < 0 else ""
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    if exponent == 0:
        return f"{sign}{digits} {currency}"
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]} {currency}"
