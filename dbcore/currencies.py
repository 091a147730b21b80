"""What people write for a currency beside an amount: codes, symbols and names."""

from __future__ import annotations

import unicodedata

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


def currency_named(word: str, ours: str | None) -> str | None:
    """The code of the currency that a word names, None where it names none. What nobody knows stands for itself.

    ours -- is known in any case and in the plural, whatever it is called.
    """
    bare = unicodedata.normalize("NFC", word.rstrip(".,;:!?"))
    capitals = bare.upper()
    if ours is not None and capitals in {ours, f"{ours}S"}:
        return ours
    if bare in _SYMBOLS:
        return _SYMBOLS[bare]
    if bare in _CODES:
        return bare
    if capitals in _NAMES:
        return _NAMES[capitals]
    symbols = [sign for sign in bare if unicodedata.category(sign) == "Sc"]  # as in R$, A$ or ฿
    return (
        bare
        if symbols and len(bare) <= 4 and all(sign in symbols or sign.isalpha() for sign in bare)
        else None
    )
