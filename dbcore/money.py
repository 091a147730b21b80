"""Money as people write and read it; inside it is always an integer of minor units beside its currency.

What can be read two ways is refused. An amount is plain digits with at most one separator, `.` or `,`, before its
decimals. Digits in groups of three, as the bot shows them, are read where decimals follow, for then there is one way to
read them: `1,234.50`, `1.234,50`. Beside it may stand the currency, if it is one of ours; without, the first of ours is
meant. A note may follow, which does not begin with a number: `10 000` is ten thousand to many, and never ten with the
note `000`.

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
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import dropwhile, takewhile

from dbcore.currencies import CENTS, Currencies, Currency, begins_a_shout, currency_named
from dbcore.sentences import Refusal, Sentence, sentence

MAX_AMOUNT = 10**15
"""The most minor units one transfer may move. A BIGINT holds nine thousand of these, so a sum never overflows
in the database; what a person meant by more than this is a slip of the finger."""


def minor_units(units: Decimal | Fraction, exponent: int) -> int | None:
    """An amount in whole units of a currency as the ledger counts; None if that is no whole number, not above zero, or
    more than MAX_AMOUNT. Exact, at any size: Decimal's own arithmetic rounds and overflows.
    """
    minor = Fraction(units) * 10**exponent
    return int(minor) if minor.denominator == 1 and 0 < minor <= MAX_AMOUNT else None


_PLAIN_NUMBER = re.compile(r"([+-]?)([0-9]*)(?:[.,]([0-9]*))?", re.ASCII)
_NUMBER_AND_CURRENCY = re.compile(r"([^\d\s.,+-]{0,12})([+-]?[0-9.,]*[0-9][.,]?)([^\d\s]{0,12})")
# 1,234: thousands to some and decimals to others. Neither 0,234 nor 1234,567 is grouped by thousands.
_THOUSANDS_OR_DECIMALS = re.compile(r"([1-9][0-9]{0,2})[.,]([0-9]{3})", re.ASCII)
# 1,234.50, 1.234,50, and 1 234,50 with spaces that do not break, which nobody types and the bot writes.
_GROUPS_AND_DECIMALS = re.compile(
    r"(?P<whole>[1-9][0-9]{0,2}(?:(?P<group>[.,\u00a0\u202f])[0-9]{3})(?:(?P=group)[0-9]{3})*)"
    r"(?!(?P=group))(?P<decimals>[.,][0-9]+)(?![0-9.,])",
    re.ASCII,
)
_NUMBER_GOES_ON = re.compile(r"[0-9](?:[0-9.,'’\s]*[0-9])?")
_LONGEST_TEXT = 64
_LONGEST_READING = 20

# After an amount these are a part of it: of a price (5 - 3), a fraction (1 / 2), decimals (5 .50).
_SIGNS = frozenset(".,'’`´·٫٬،。:+-−–—*/×%=~≈^<>")

_QUOTES = frozenset({'""', "“”", "„“", "«»"})
_OPENING_QUOTES = frozenset(pair[0] for pair in _QUOTES)

_WORDS_OF_AMOUNTS = frozenset(
    """
    zero nought half halves quarter quarters third thirds fourth fourths fifth fifths sixth sixths seventh sevenths
    eighth eighths ninth ninths tenth tenths hundredth hundredths thousandth thousandths
    thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
    thou kilo kilos k к kk m mn mm mln mio mil bn mrd dozen dozens hundred hundreds thousand thousands grand million
    millions billion billions trillion trillions quadrillion quadrillions quintillion quintillions
    lakh lakhs lac cr crore crores tsd tausend mille mila mii duizend tusen tusind tuhat ezer tys tysiąc tysiące tysięcy
    ribu rb juta jt triệu nghìn ngàn bin тыс тыщ тысяча тысячи тысяч млн миллион миллиона миллионов хиляди тисяч тисячі
    十 拾 百 佰 千 仟 万 萬 百万 億 亿 兆 십 백 천 만 억 조 हज़ार लाख करोड़ ألف مليون אלף พัน หมื่น แสน ล้าน
    """.split()  # noqa: SIM905  a list of words is read as one
)

_SMALL_NUMBERS = frozenset(
    """
    one two three four five six seven eight nine ten eleven twelve
    zwei drei vier fünf sechs sieben acht neun zehn elf zwölf deux trois quatre cinq sept huit neuf dix
    dos tres cuatro cinco seis siete ocho nueve diez tre quattro cinque sette dieci dois duas três quatro sete oito dez
    dwa trzy cztery pięć sześć siedem osiem dziewięć dziesięć iki üç dört beş yedi sekiz dokuz
    два две три четыре пять шесть семь восемь девять десять дві чотири шість сім вісім
    """.split()  # noqa: SIM905  as above
)
"""Many a note begins with one of these: `5 two coffees`."""

# `5 a hundred`, `5 a few thousand`.
_HOW_MANY = re.compile(r"\A(?:(?:an?|few|several|some|couple|of|about)\s+)+", re.IGNORECASE)

_CURRENCY_AND_MORE = re.compile(r"[^\w\s]*([^\W\d_]+)([^\w\s].*)", re.DOTALL)

# 5 x 3, 5 times 3, 5 and a half, 5 EUR and 50 cents, 5 point 5: a word, and behind it a number in digits or letters.
_SUM_GOES_ON = re.compile(
    r"(?:and|plus|minus|less|times|by|point|dot|comma|und|mal|komma|plus|et|fois|virgule|y|e|con|por|coma|i|и|на|х|x|&"
    r"|or|oder|ou|o|или|(?:up\s+)?to|bis|до|with|mit|avec)"
    r"(?:\s*(?=\d)|\s+(?:(?:a|an|one)\s+)?(?:half|quarter|third|zero|one|two|three|four|five|six|seven|eight|nine|ten"
    r"|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|hundred"
    r"|thousand|million|cents?|halb|halbe|demi|medio|media|mezzo)\b)",
    re.IGNORECASE,
)


class AmountError(Refusal):
    """The text is no amount that can be moved. It says why in sentences for the person who wrote it, with nothing of
    their words but digits and currencies that we know.
    """


class NotANumber(AmountError):
    """Letters, signs, scientific notation, NaN, several separators."""


class AmbiguousAmount(AmountError):
    """It can be read two ways: `1 000`, `12 000 rent`, `5 k`, or `1,000` where that may be decimals."""


class OtherCurrency(AmountError):
    """`$5` or `5 EUR`, where nothing is in that currency; or two currencies beside one amount."""


class ZeroAmount(AmountError):
    """Zero moves nothing."""


class NegativeAmount(AmountError):
    """The direction is said by the command, never by a sign."""


class TooManyDecimals(AmountError):
    """More decimals than the currency has. Never rounded: a person who wrote them meant them."""


class AmountTooLarge(AmountError):
    """Above MAX_AMOUNT."""


@dataclass(frozen=True, slots=True)
class Money:
    """minor -- units of the currency, above zero."""

    minor: int
    currency: Currency


def parse_amount(text: str, exponent: int, currency: str | None = None) -> int:
    """Read `5`, `5.5` or `5,50` as minor units of the one currency that there may be, with `exponent` decimals.

    currency -- its code, which may stand beside the number; None where none may.
    Raises an AmountError whose message can be shown to the person.
    """
    return parse_money(text, _only(exponent, currency)).minor


def parse_amount_and_note(text: str, exponent: int, currency: str | None = None) -> tuple[int, str]:
    """Read `5,50 for lunch` as 550 minor units and the note `for lunch`, which may be empty.

    Raises an AmountError whose message can be shown to the person.
    """
    money, note = parse_money_and_note(text, _only(exponent, currency))
    return money.minor, note


def parse_money(text: str, ours: Currencies) -> Money:
    """Read `5` as an amount of the first currency of ours, and `5 EUR`, `€5` or `5 euros` as one of euros.

    Raises an AmountError whose message can be shown to the person.
    """
    money, note = _read(text, ours, takes_note=False)
    if note:
        raise _not_a_number()
    return money


def parse_money_and_note(text: str, ours: Currencies) -> tuple[Money, str]:
    """Read `5 EUR for lunch` as 5.00 EUR and the note `for lunch`, which may be empty.

    Raises an AmountError whose message can be shown to the person.
    """
    return _read(text, ours, takes_note=True)


def _only(exponent: int, code: str | None) -> Currencies:
    return Currencies(Currency(code or "", exponent))


def _read(text: str, ours: Currencies, *, takes_note: bool) -> tuple[Money, str]:
    named = []
    word, rest = _first_word(_without_groups(text))
    if currency := _currency(word, ours):
        named.append(currency)
        word, rest = _first_word(rest)
    found = _NUMBER_AND_CURRENCY.fullmatch(word) if len(word) <= _LONGEST_TEXT else None
    if found is None:
        raise _not_a_number()
    before, number, after = found.groups()
    for beside in filter(None, (before, after)):
        if (currency := _currency(beside, ours)) is None:
            raise _not_a_number()
        named.append(currency)
    past_currency = bool(after)
    following, behind = _first_word(rest)
    mark = _CURRENCY_AND_MORE.fullmatch(rest.strip())
    if mark and _goes_on_by_number(mark[2]) and _currency(mark[1], ours):
        raise AmbiguousAmount(sentence("Please write the whole amount as one number, such as 12.50."))
    if not begins_a_shout(following, behind) and (currency := _currency(following, ours)):
        named.append(currency)
        rest, past_currency = behind, True
    currency = named[0] if named else ours.first
    if other := next((each for each in named if each != currency), None):
        raise OtherCurrency(
            sentence(
                "Did you mean {one} or {other}? Please write the amount with one currency.",
                one=currency.code,
                other=other.code,
            )
        )
    _refuse_words_of_amounts(rest.strip(), ours, takes_note=takes_note, past_currency=past_currency)
    _refuse_number_behind(
        number, rest.strip(), currency.exponent, takes_note=takes_note, past_currency=past_currency
    )
    money = Money(_minor_units(number, currency.exponent), currency)
    return money, _without_quotes(rest.strip())


def _minor_units(number: str, exponent: int) -> int:
    plain = _PLAIN_NUMBER.fullmatch(number)
    if plain is None:
        raise NotANumber(
            sentence(
                "The amount must be a plain number without thousands separators, such as 1000 or 1000.50."
            )
        )
    sign, whole, decimals = plain[1], plain[2] or "0", plain[3] or ""
    if sign == "-":
        raise NegativeAmount(sentence("The amount must be above zero."))
    if sign == "+":
        raise NotANumber(sentence("The amount must be a plain number without a sign, such as 5 or 5.50."))
    if exponent >= 3:
        if either := _THOUSANDS_OR_DECIMALS.fullmatch(number):
            thousands, with_decimals = f"{either[1]}{either[2]}", f"{either[1]}.{either[2]}"
            raise AmbiguousAmount(
                sentence(
                    "Did you mean {one} or {other}? Please write {one} or {clear}.",
                    one=thousands,
                    other=with_decimals,
                    clear=f"{with_decimals}0",
                )
            )
        # So that an amount of three decimals can be written too, with one zero more.
        decimals = decimals[:exponent] + decimals[exponent:].rstrip("0")
    if len(decimals) > exponent:
        if exponent == 0:
            raise TooManyDecimals(sentence("The amount may have no decimals, and no thousands separator."))
        raise TooManyDecimals(
            sentence(
                "The amount may have at most {most} decimals, and no thousands separator.", most=exponent
            )
        )
    minor = int(whole + decimals.ljust(exponent, "0"))
    if minor == 0:
        raise ZeroAmount(sentence("The amount must be above zero."))
    if minor > MAX_AMOUNT:
        raise AmountTooLarge(sentence("The amount is too large."))
    return minor


def _goes_on_by_number(glued: str) -> bool:
    """Whether a number, in digits or letters, is all that stands behind the signs at a currency: `/2` or `-fifty`."""
    first = next((mark for mark in glued if unicodedata.category(mark)[0] not in "PSZC"), "")
    word = _first_letters(glued)
    return unicodedata.category(first or " ")[0] == "N" or word in _WORDS_OF_AMOUNTS | _SMALL_NUMBERS


def _refuse_words_of_amounts(rest: str, ours: Currencies, *, takes_note: bool, past_currency: bool) -> None:
    """Thousands in words, and sums. In quotes they are a note."""
    quoted = (
        [sentence("If this is the note, put it in quotes: {example}.", example="5 “…”")] if takes_note else []
    )
    word = _first_letters(rest)
    is_small = word in _SMALL_NUMBERS and (past_currency or not _counts_something(rest, ours))
    if _first_letters(_HOW_MANY.sub("", rest, count=1)) in _WORDS_OF_AMOUNTS or is_small:
        raise AmbiguousAmount(sentence("Please write the whole amount in digits, such as 5000."), *quoted)
    if _SUM_GOES_ON.match(rest):
        raise AmbiguousAmount(
            sentence("Please write the whole amount as one number, such as 12.50."), *quoted
        )


def _counts_something(rest: str, ours: Currencies) -> bool:
    """Whether the number in letters that `rest` begins with is one of things: of coffees, not of cents, and neither a
    part of a larger number nor all there is.
    """
    number, behind = _first_word(rest)
    _, _, glued = number.partition("-")
    word = _first_letters(behind)
    return not (
        not word
        or number[-1] in ".,;:!?"
        or _goes_on_by_number(glued)
        or word in _WORDS_OF_AMOUNTS | _SMALL_NUMBERS
        or currency_named(word, ours)
        or _SUM_GOES_ON.match(behind)
    )


def _first_letters(text: str) -> str:
    """The first word without what stands around it, as it is looked up: `(Ｋ/day` is k. Empty if it is in quotes."""
    if text[:1] in _OPENING_QUOTES:
        return ""
    folded = unicodedata.normalize("NFKC", text[:_LONGEST_TEXT]).casefold()
    seen = (
        mark for mark in folded if unicodedata.category(mark) != "Cf"
    )  # soft hyphens, joiners, directions
    word = takewhile(
        lambda mark: unicodedata.category(mark)[0] in "LM",
        dropwhile(lambda mark: unicodedata.category(mark)[0] in "PSZC", seen),
    )
    return unicodedata.normalize("NFC", "".join(word))


def _refuse_number_behind(
    number: str, rest: str, exponent: int, *, takes_note: bool, past_currency: bool
) -> None:
    """What follows an amount may be its end, unless it begins with a word.

    past_currency -- it stands behind the currency: `5 EUR 50` may be 5.50, and is never 550.
    """
    visible = (mark for mark in rest if unicodedata.category(mark)[0] not in "CMZ")
    first = next((mark for mark in visible if unicodedata.normalize("NFKC", mark) not in _SIGNS), "")
    if not first or unicodedata.category(first)[0] != "N":
        return
    goes_on = _NUMBER_GOES_ON.match(rest)
    behind = re.sub(r"[\s'’]", "", goes_on[0]) if goes_on else ""
    decimals = f"{number}.{behind}" if behind.isdecimal() and len(behind) == exponent else ""
    readings = [decimals] if past_currency else [decimals, number + behind if behind else ""]
    possible = [reading for reading in readings if reading and _is_amount(reading, exponent)]
    if goes_on is None or not possible or not _is_amount(number, exponent):
        said = [
            sentence("A second number follows the amount, so it can be read two ways."),
            sentence("Please write the amount as one number, such as 1000 or 5.50."),
        ]
        note = "5 “2 tickets”"
    else:
        said = [_which(number, possible, with_number=decimals not in possible)]
        note = f"{number} “{goes_on[0].split()[0]}”"
    if takes_note:
        said.append(sentence("If the note begins with a number, put it in quotes: {example}.", example=note))
    raise AmbiguousAmount(*said)


def _which(number: str, possible: list[str], *, with_number: bool) -> Sentence:
    """with_number -- it may be meant as it stands, too."""
    if len(possible) > 1:
        return sentence(
            "Did you mean {one} or {other}? Please write the amount as one number, such as {one} or {other}.",
            one=possible[0],
            other=possible[1],
        )
    if with_number:
        return sentence(
            "Did you mean {one} or {other}? Please write the amount as one number, such as {other}.",
            one=number,
            other=possible[0],
        )
    return sentence(
        "Did you mean {one}? Please write the amount as one number, such as {one}.", one=possible[0]
    )


def _without_groups(text: str) -> str:
    """The text, with no separator between the thousands of a number that has them and decimals."""
    found = _GROUPS_AND_DECIMALS.search(text)
    if found is None or any(letter.isdigit() or letter in ".," for letter in text[: found.start()]):
        return text
    plain = found["whole"].replace(found["group"], "")
    return f"{text[: found.start()]}{plain}{found['decimals']}{text[found.end() :]}"


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


def _currency(word: str, ours: Currencies) -> Currency | None:
    """Which of ours a word names, if any. Raises OtherCurrency where it names another."""
    known = ours if ours.first.code else None
    named = currency_named(word, known) if word else None
    if named is None:
        return None
    if known is None:
        raise OtherCurrency(sentence("Please write the amount without a currency, such as 5 or 5.50."))
    if currency := ours.get(named):
        return currency
    if named == CENTS:
        raise OtherCurrency(sentence("Please write the amount in {ours}, not in cents.", ours=str(ours)))
    if len(ours) > 1:
        raise OtherCurrency(
            sentence("Amounts are in one of {ours}, not in {named}.", ours=str(ours), named=named)
        )
    raise OtherCurrency(
        sentence(
            "Amounts are in {ours}, not in {named}. Please write the amount without {named}.",
            ours=str(ours),
            named=named,
        )
    )


def _first_word(text: str) -> tuple[str, str]:
    """Split at white space of any kind, non-breaking spaces and line breaks among it."""
    words = text.split(maxsplit=1)
    return (words[0] if words else ""), (words[1] if len(words) > 1 else "")


def _not_a_number() -> NotANumber:
    return NotANumber(sentence("The amount must be a plain number, such as 5 or 5.50."))


def format_amount(minor: int, exponent: int, currency: str) -> str:
    """Say minor units as a person reads them: `550` with two decimals is `5.50 CREDIT`."""
    return f"{plain_amount(minor, exponent)} {currency}"


def plain_amount(minor: int, exponent: int) -> str:
    """The same without the currency."""
    sign = "-" if minor < 0 else ""
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    if exponent == 0:
        return f"{sign}{digits}"
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}"
