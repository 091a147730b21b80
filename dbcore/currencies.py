"""The currencies that a bot keeps balances in, and what people write for a currency beside an amount: codes, symbols
and names.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from dbcore.sentences import Refusal, sentence

CENTS = "cents"
"""Stands for a hundredth of whatever currency: never the currency of an amount by itself."""

STARS = "XTR"
"""Telegram's code for its Stars."""

STARS_MAX = 10_000
"""In one invoice, as Telegram has it."""

_SYMBOLS = {
    "$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₽": "RUB", "₴": "UAH", "₹": "INR", "₺": "TRY",
    "₸": "KZT", "₪": "ILS", "₩": "KRW", "₫": "VND", "₿": "BTC", "¢": CENTS, "⭐": STARS, "⭐️": STARS,
}  # fmt: skip

# In capitals alone, for `all`, `try`, `top` or `cup` are words that a note may begin with.
_CODES = frozenset(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
    COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS
    INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP
    MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR
    SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV
    WST XAF XCD XOF XPF YER ZAR ZMW ZWG
    ADA BNB BTC DAI DOGE DOT ETH LTC NOT SOL TON TRX USDC USDT XLM XMR XRP XTR
    """.split()  # noqa: SIM905  a list of words is read as one
)

_NAMES = {
    **{code: code for code in (
        "EUR", "USD", "GBP", "CHF", "JPY", "CNY", "RUB", "UAH", "PLN", "CZK", "SEK", "NOK", "DKK", "HUF", "INR", "BRL",
        "AUD", "CAD", "NZD", "MXN", "ZAR", "KZT", "AED", "BTC", "ETH", "USDT", "USDC", STARS,
    )},
    "EURO": "EUR", "EUROS": "EUR", "DOLLAR": "USD", "DOLLARS": "USD", "BUCK": "USD", "BUCKS": "USD", "POUND": "GBP",
    "POUNDS": "GBP", "QUID": "GBP", "YEN": "JPY", "YUAN": "CNY", "ROUBLE": "RUB", "ROUBLES": "RUB", "RUBLE": "RUB",
    "RUBLES": "RUB", "RUPEE": "INR", "RUPEES": "INR", "BITCOIN": "BTC", "STAR": STARS, "STARS": STARS, "РУБ": "RUB",
    "РУБЛЬ": "RUB", "РУБЛЯ": "RUB", "РУБЛЕЙ": "RUB", "ГРН": "UAH", "ЕВРО": "EUR", "ДОЛЛАРОВ": "USD", "ZŁ": "PLN",
    "CENT": CENTS, "CENTS": CENTS, "CT": CENTS, "CTS": CENTS, "PENNY": CENTS, "PENNIES": CENTS, "PENCE": CENTS,
    "KČ": "CZK", "KR": "kr", "TL": "TRY", "LEI": "RON", "元": "CNY", "円": "JPY", "원": "KRW",
    "KOPECK": CENTS, "KOPECKS": CENTS, "КОП": CENTS, "КОПЕЕК": CENTS,
}  # fmt: skip


# Codes that are words too, and of currencies that hardly anybody names.
_WORDS = frozenset({"ALL", "BAM", "CUP", "MOP", "SOS", "TOP"})


def begins_a_shout(word: str, rest: str) -> bool:
    """Whether a code is a word of a note in capitals, as in `5 ALL THE BEST`."""
    following = rest.split(maxsplit=1)
    return word in _WORDS and bool(following) and following[0].isupper() and len(following[0]) > 1


@dataclass(frozen=True, slots=True)
class Currency:
    """code -- such as EUR. exponent -- decimals: with 2, `1.00` is 100 minor units. name, symbol -- what people may
    write for it besides, such as `Euro` and `€`.
    """

    code: str
    exponent: int
    name: str | None = None
    symbol: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """What people may write for it, in the singular."""
        return tuple(filter(None, (self.code, self.name, self.symbol)))

    def is_meant_by(self, word: str) -> bool:
        """By its code or name, in any case and in the plural, or by its symbol."""
        capitals = word.upper()
        names = {self.code, self.name.upper()} if self.name else {self.code}
        return capitals in names | {f"{name}S" for name in names} or (bool(word) and word == self.symbol)


class Currencies:
    """Those that a bot keeps balances in. The first one is meant where nobody names any."""

    __slots__ = ("_all", "first")

    def __init__(self, first: Currency, *others: Currency) -> None:
        self.first = first
        self._all = {each.code: each for each in (first, *others)}

    def __iter__(self) -> Iterator[Currency]:
        return iter(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    def __str__(self) -> str:
        """Their codes: `CREDIT, EUR, TON`."""
        return ", ".join(self._all)

    def get(self, code: str) -> Currency | None:
        return self._all.get(code)

    def code_if_further(self, currency: Currency) -> str | None:
        """None for the first: as what was recorded while there was one, and has no currency."""
        return None if currency == self.first else currency.code

    def meant_by(self, word: str) -> Currency | None:
        return next((each for each in self if each.is_meant_by(word)), None)


CURRENCIES_MAX = 20
EXPONENT_MAX = 9
CODE = r"[A-Z][A-Z0-9]{1,11}"
_FURTHER = re.compile(
    rf"(?P<code>{CODE}):(?P<exponent>[0-9])"
    r"(?::(?P<name>[^\W\d_][^\d_:,]{0,30}[^\W\d_]))?(?::(?P<symbol>[^\w\s:,.+\-]{1,4}|[^\W\d_]{1,2}[^\w\s:,.+\-]))?"
)


def further_currencies(text: str) -> tuple[Currency, ...]:
    """Read `EUR:2:Euro:€,TON:9`: code, decimals, and what people may write besides. Raises ValueError."""
    read: list[Currency] = []
    for part in filter(None, map(str.strip, text.split(","))):
        found = _FURTHER.fullmatch(part)
        if found is None:
            raise Refusal(
                sentence(
                    "expected CODE:DECIMALS, with :NAME and :SYMBOL if they are to be read, comma separated, such as "
                    "EUR:2:Euro:€,TON:9"
                )
            )
        read.append(Currency(found["code"], int(found["exponent"]), found["name"], found["symbol"]))
    if len(read) >= CURRENCIES_MAX:
        raise Refusal(sentence("expected at most {number} further currencies", number=CURRENCIES_MAX - 1))
    return tuple(read)


def require_different(currencies: tuple[Currency, ...]) -> None:
    """Raises ValueError if something that people write means two of them."""
    for number, each in enumerate(currencies):
        for other in currencies[:number]:
            if any(map(other.is_meant_by, each.words)) or any(map(each.is_meant_by, other.words)):
                raise Refusal(
                    sentence(
                        "expected currencies that differ in all names; {one} and {other} do not",
                        one=other.code,
                        other=each.code,
                    )
                )


def currency_named(word: str, ours: Currencies | None) -> str | None:
    """The code of the currency that a word names, None where it names none. What nobody knows stands for itself.

    ours -- are known by their names whatever these are; a symbol such as `€` is that of another currency if one of ours
        has it.
    """
    bare = unicodedata.normalize("NFC", word.rstrip(".,;:!?"))
    if ours is not None and (meant := ours.meant_by(bare)):
        return meant.code
    if bare in _SYMBOLS:
        return _SYMBOLS[bare]
    if bare in _CODES:
        return bare
    capitals = bare.upper()
    if capitals in _NAMES:
        return _NAMES[capitals]
    symbols = [sign for sign in bare if unicodedata.category(sign) == "Sc"]  # as in R$, A$ or ฿
    return (
        bare
        if symbols and len(bare) <= 4 and all(sign in symbols or sign.isalpha() for sign in bare)
        else None
    )
