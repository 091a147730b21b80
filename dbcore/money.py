"""Money as people write and read it; inside it is always an integer of minor units beside its currency.

What can be read two ways is refused. An amount is plain digits with at most one separator, `.` or `,`, before its
decimals. Beside it may stand the currency, if it is ours. A note may follow, which does not begin with a number:
`10 000` is ten thousand to many, and never ten with the note `000`.

AmountError
├── NotANumber
├── AmbiguousAmount
├── OtherCurrency
├── ZeroAmount
├── NegativeAmount
├── TooManyDecimals
└── AmountTooLarge
"""

from __future__ import annotations

import re
import unicodedata

from dbcore.currencies import CENTS, currency_named

MAX_AMOUNT = 10**15
"""The most minor units one transfer may move. A BIGINT holds nine thousand of these, so a sum never overflows
in the database; what a person meant by more than this is a slip of the finger."""

_PLAIN_NUMBER = re.compile(r"([+-]?)([0-9]*)(?:[.,]([0-9]*))?", re.ASCII)
_NUMBER_AND_CURRENCY = re.compile(r"([^\d\s.,+-]{0,12})([+-]?[0-9.,]*[0-9][.,]?)([^\d\s]{0,12})")
# 1,234: thousands to some and decimals to others. Neither 0,234 nor 1234,567 is grouped by thousands.
_THOUSANDS_OR_DECIMALS = re.compile(r"([1-9][0-9]{0,2})[.,]([0-9]{3})", re.ASCII)
_NUMBER_GOES_ON = re.compile(r"[0-9](?:[0-9.,'’\s]*[0-9])?")
_LONGEST_TEXT = 64
_LONGEST_READING = 20

# After an amount these are a part of it: of a price (5 - 3), a fraction (1 / 2), decimals (5 .50).
_SIGNS = frozenset(".,'’`´·٫٬:+-−–—*/×%")

_QUOTES = frozenset({'""', "“”", "„“", "«»"})

_MULTIPLIERS = frozenset(
    """
    k к kk m mn mm mln mio mil bn mrd hundred hundreds thousand thousands grand million millions billion billions dozen
    lakh lakhs lac crore crores tausend mille тыс тысяча тысячи тысяч млн миллион миллиона миллионов
    百 千 万 萬 百万 億 亿
    """.split()  # noqa: SIM905  a list of words is read as one
)


class AmountError(ValueError):
    """The text is no amount that can be moved. The message is a sentence for the person who wrote it, with nothing of
    their words but digits and currencies that we know.
    """


class NotANumber(AmountError):
    """Letters, signs, scientific notation, NaN, several separators."""


class AmbiguousAmount(AmountError):
    """It can be read two ways: `1 000`, `12 000 rent`, `5 k`, or `1,000` where that may be decimals."""


class OtherCurrency(AmountError):
    """`$5` or `5 EUR`, where all is in another currency."""


class ZeroAmount(AmountError):
    """Zero moves nothing."""


class NegativeAmount(AmountError):
    """The direction is said by the command, never by a sign."""


class TooManyDecimals(AmountError):
    """More decimals than the currency has. Never rounded: a person who wrote them meant them."""


class AmountTooLarge(AmountError):
    """Above MAX_AMOUNT."""


def parse_amount(text: str, exponent: int, currency: str | None = None) -> int:
    """Read `5`, `5.5` or `5,50` as minor units of a currency with `exponent` decimals.

    currency -- may stand beside the number; None where none may.
    Raises an AmountError whose message can be shown to the person.
    """
    minor, note = _read(text, exponent, currency, takes_note=False)
    if note:
        raise _not_a_number()
    return minor


def parse_amount_and_note(text: str, exponent: int, currency: str | None = None) -> tuple[int, str]:
    """Read `5,50 for lunch` as 550 minor units and the note `for lunch`, which may be empty.

    Raises an AmountError whose message can be shown to the person.
    """
    return _read(text, exponent, currency, takes_note=True)


def _read(text: str, exponent: int, currency: str | None, *, takes_note: bool) -> tuple[int, str]:
    word, rest = _first_word(text)
    if _is_currency(word, currency):
        word, rest = _first_word(rest)
    found = _NUMBER_AND_CURRENCY.fullmatch(word) if len(word) <= _LONGEST_TEXT else None
    if found is None:
        raise _not_a_number()
    before, number, after = found.groups()
    for mark in (before, after):
        if mark and not _is_currency(mark, currency):
            raise _not_a_number()
    following, behind = _first_word(rest)
    if _is_currency(following, currency):
        rest = behind
    elif following.strip(".,;:!?").casefold() in _MULTIPLIERS:
        raise AmbiguousAmount("Please write the whole amount in digits, such as 5000.")
    _refuse_number_behind(number, rest.strip(), exponent, takes_note=takes_note)
    return _minor_units(number, exponent), _without_quotes(rest.strip())


def _minor_units(number: str, exponent: int) -> int:
    plain = _PLAIN_NUMBER.fullmatch(number)
    if plain is None:
        raise NotANumber(
            "The amount must be a plain number without thousands separators, such as 1000 or 1000.50."
        )
    sign, whole, decimals = plain[1], plain[2] or "0", plain[3] or ""
    if sign == "-":
        raise NegativeAmount("The amount must be above zero.")
    if sign == "+":
        raise NotANumber("The amount must be a plain number without a sign, such as 5 or 5.50.")
    if exponent >= 3:
        if either := _THOUSANDS_OR_DECIMALS.fullmatch(number):
            thousands, with_decimals = f"{either[1]}{either[2]}", f"{either[1]}.{either[2]}"
            raise AmbiguousAmount(
                f"Did you mean {thousands} or {with_decimals}? Please write {thousands} or {with_decimals}0."
            )
        # So that an amount of three decimals can be written too, with one zero more.
        decimals = decimals[:exponent] + decimals[exponent:].rstrip("0")
    if len(decimals) > exponent:
        allowed = "no decimals" if exponent == 0 else f"at most {exponent} decimals"
        raise TooManyDecimals(f"The amount may have {allowed}, and no thousands separator.")
    minor = int(whole + decimals.ljust(exponent, "0"))
    if minor == 0:
        raise ZeroAmount("The amount must be above zero.")
    if minor > MAX_AMOUNT:
        raise AmountTooLarge("The amount is too large.")
    return minor


def _refuse_number_behind(number: str, rest: str, exponent: int, *, takes_note: bool) -> None:
    """What follows an amount may be its end, unless it begins with a word."""
    visible = (character for character in rest if unicodedata.category(character)[0] not in "CMZ")
    first = next((character for character in visible if character not in _SIGNS), "")
    if not first or unicodedata.category(first)[0] != "N":
        return
    goes_on = _NUMBER_GOES_ON.match(rest)
    joined = number + re.sub(r"[\s'’]", "", goes_on[0]) if goes_on else ""
    if goes_on and _is_amount(number, exponent) and _is_amount(joined, exponent):
        said = f"Did you mean {number} or {joined}? Please write the amount without spaces, such as {joined}."
        note = f"{number} “{goes_on[0].split()[0]}”"
    else:
        said = (
            "A second number follows the amount, so it can be read two ways. "
            "Please write the amount without spaces, such as 1000."
        )
        note = "5 “2 tickets”"
    quoted = f" If the note begins with a number, put it in quotes: {note}." if takes_note else ""
    raise AmbiguousAmount(f"{said}{quoted}")


def _without_quotes(note: str) -> str:
    """A note in quotes without them: they may have been put there because it begins with a number."""
    if len(note) < 3 or f"{note[0]}{note[-1]}" not in _QUOTES or {note[0], note[-1]} & set(note[1:-1]):
        return note
    return note[1:-1].strip()


def _is_amount(number: str, exponent: int) -> bool:
    try:
        return len(number) <= _LONGEST_READING and _minor_units(number, exponent) > 0
    except AmountError:
        return False


def _is_currency(word: str, ours: str | None) -> bool:
    """Whether a word names our currency. Raises OtherCurrency where it names another."""
    named = currency_named(word, ours) if word else None
    if named is None or named == ours:
        return named is not None
    if ours is None:
        raise OtherCurrency("Please write the amount without a currency, such as 5 or 5.50.")
    if named == CENTS:
        raise OtherCurrency(f"Please write the amount in {ours}, not in cents.")
    raise OtherCurrency(f"Amounts are in {ours}, not in {named}. Please write the amount without {named}.")


def _first_word(text: str) -> tuple[str, str]:
    """Split at white space of any kind, non-breaking spaces and line breaks among it."""
    words = text.split(maxsplit=1)
    return (words[0] if words else ""), (words[1] if len(words) > 1 else "")


def _not_a_number() -> NotANumber:
    return NotANumber("The amount must be a plain number, such as 5 or 5.50.")


def format_amount(minor: int, exponent: int, currency: str) -> str:
    """Say minor units as a person reads them: `550` with two decimals is `5.50 CREDIT`."""
    sign = "-" if minor < 0 else ""
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    if exponent == 0:
        return f"{sign}{digits} {currency}"
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]} {currency}"
