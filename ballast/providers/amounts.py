"""Amounts as providers write them, in integers of minor units."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil

_WITHOUT_DECIMALS = frozenset("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split())  # noqa: SIM905
_WITH_THREE = frozenset("BHD JOD KWD OMR TND".split())  # noqa: SIM905

OF_ASSETS = {"USDT": 6, "USDC": 6, "TON": 9, "GRAM": 9, "BTC": 8, "LTC": 8, "ETH": 8, "BNB": 8, "TRX": 6}
"""Decimals in which a price in one of Crypto Pay's assets is written."""


DIGITS_MAX = 30
"""Of an amount in minor units: more would take long to read, and is none."""


def exponent_at_stripe(currency: str) -> int:
    """Decimals of the amounts that Stripe takes in a currency."""
    return 0 if currency in _WITHOUT_DECIMALS else 3 if currency in _WITH_THREE else 2


def written(minor_units: int, exponent: int) -> str:
    """As a decimal number, such as `12.5`."""
    return f"{Decimal(minor_units).scaleb(-exponent).normalize():f}"


def read(text: object, exponent: int) -> int:
    """A decimal number in minor units. Raises ValueError if it is none, or has more decimals."""
    number = _number(text, exponent)
    if number != number.to_integral_value():
        raise ValueError(f"{str(text)[:40]!r} has more than {exponent} decimals")
    return int(number)


def read_rounded(text: object, exponent: int) -> int:
    """As `read`, rounded to the nearest minor unit."""
    return int(_number(text, exponent).to_integral_value())


def _number(text: object, exponent: int) -> Decimal:
    try:
        number = Decimal(str(text)).scaleb(exponent)
    except ArithmeticError:
        raise ValueError(f"{str(text)[:40]!r} is no amount") from None
    if not number.is_finite() or number.adjusted() > DIGITS_MAX:
        raise ValueError(f"{str(text)[:40]!r} is no amount")
    return number


def price_of(amount: int, exponent: int, rate: Decimal, price_exponent: int) -> int:
    """What an amount of minor units costs where one unit is worth `rate` of ours, rounded up to a minor unit there."""
    price = Fraction(amount, 10**exponent) / Fraction(rate) * Fraction(10) ** price_exponent
    return ceil(price)
