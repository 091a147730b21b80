"""The currency, and what limits amounts of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from dbcore.expectations import shaped
from dbcore.money import MAX_AMOUNT, minor_units
from dbcore.settings.options import Section

AMOUNT_ADJUSTED_MAX = 18
"""The power of ten of an amount's first digit, up or down: no power of ten fills the memory. MAX_AMOUNT is below."""


def _of_the_currency(value: Decimal | None, info: ValidationInfo) -> Decimal | None:
    exponent = info.data.get("currency_exponent")
    if value is None or exponent is None:  # the latter: refused itself
        return value
    if abs(value.adjusted()) > AMOUNT_ADJUSTED_MAX or minor_units(value, exponent) is None:
        raise ValueError(
            f"expected an amount such as 1000 or 99.50, with no more decimals than CURRENCY_EXPONENT ({exponent}) "
            f"and at most {MAX_AMOUNT // 10**exponent}"
        )
    return value


Amount = Annotated[Decimal | None, Field(gt=0), AfterValidator(_of_the_currency)]
"""Of the currency, whose exponent stands before it."""


def is_usable_rate(value: Decimal) -> bool:
    return value.is_finite() and abs(value.adjusted()) <= AMOUNT_ADJUSTED_MAX


class MoneyOptions(Section):
    """The currency, and what operators may do with it."""

    timezone: str = "UTC"
    currency: Annotated[
        str,
        Field(
            pattern=shaped(r"^[A-Z][A-Z0-9]{1,11}$", "2 to 12 of A-Z and 0-9, a letter first, such as EUR")
        ),
    ] = "CREDIT"
    currency_exponent: Annotated[int, Field(ge=0, le=8)] = 2
    credit_limit: Amount = None
    credit_limit_per_day: Amount = None
    freeze_refuses: Literal["sending", "everything"] = "sending"

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            return ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("expected a time zone such as Europe/Berlin") from None

    def minor_units(self, amount: Decimal | None) -> int | None:
        """An option's amount as the ledger counts; None where it is unset."""
        return None if amount is None else int(amount.scaleb(self.currency_exponent))
