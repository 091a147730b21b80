"""The currencies, and what limits amounts of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from dbcore.currencies import CODE, Currencies, Currency, further_currencies, require_different
from dbcore.expectations import shaped
from dbcore.money import MAX_AMOUNT, minor_units
from dbcore.roles import Role
from dbcore.sentences import Refusal, sentence
from dbcore.settings.options import Section

AMOUNT_ADJUSTED_MAX = 18
"""The power of ten of an amount's first digit, up or down: no power of ten fills the memory. MAX_AMOUNT is below."""


def _of_the_currency(value: Decimal | None, info: ValidationInfo) -> Decimal | None:
    exponent = info.data.get("currency_exponent")
    if value is None or exponent is None:  # the latter: refused itself
        return value
    _require_amount(value, exponent)
    return value


def _require_amount(value: Decimal, exponent: int) -> None:
    """Raises ValueError."""
    if abs(value.adjusted()) > AMOUNT_ADJUSTED_MAX or minor_units(value, exponent) is None:
        raise Refusal(
            sentence(
                "expected an amount such as 1000 or 99.50, with no more decimals than CURRENCY_EXPONENT ({exponent}) "
                "and at most {limit}",
                exponent=exponent,
                limit=str(MAX_AMOUNT // 10**exponent),
            )
        )


Amount = Annotated[Decimal | None, Field(gt=0), AfterValidator(_of_the_currency)]
"""Of the currency, whose exponent stands before it."""


def is_usable_rate(value: Decimal) -> bool:
    return value.is_finite() and abs(value.adjusted()) <= AMOUNT_ADJUSTED_MAX


class RoleLimits(NamedTuple):
    """The most by one credit or debit, and within 24 hours, in the currency; None for no limit."""

    once: Decimal | None
    per_day: Decimal | None


def _limit(given: str, exponent: int) -> Decimal | None:
    """Raises ValueError."""
    if given == "none":
        return None
    if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", given) or not (value := Decimal(given)):
        raise Refusal(
            sentence(
                "expected amounts above zero such as 1000 or 99.50, or none; got {text}", text=repr(given)
            )
        )
    _require_amount(value, exponent)
    return value


class MoneyOptions(Section):
    """The currencies, and what operators may do with them."""

    timezone: str = "UTC"
    currency: Annotated[
        str,
        Field(pattern=shaped(f"^{CODE}$", "2 to 12 of A-Z and 0-9, a letter first, such as EUR")),
    ] = "CREDIT"
    currency_exponent: Annotated[int, Field(ge=0, le=8)] = 2
    currencies: Annotated[tuple[Currency, ...], NoDecode] = ()
    credit_limit: Amount = None
    credit_limit_per_day: Amount = None
    role_limits: Annotated[Mapping[Role, RoleLimits], NoDecode] = {}
    freeze_refuses: Literal["sending", "everything"] = "sending"

    @field_validator("currencies", mode="before")
    @classmethod
    def _further_currencies(cls, value: object, info: ValidationInfo) -> object:
        read = further_currencies(value) if isinstance(value, str) else value
        first = info.data.get("currency")
        if isinstance(read, tuple) and first is not None:  # else refused itself
            require_different((Currency(first, 0), *read))
        return read

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            return ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise Refusal(sentence("expected a time zone such as Europe/Berlin")) from None

    @field_validator("role_limits", mode="before")
    @classmethod
    def _limits_of_roles(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        parts = [[word.strip() for word in part.split(":")] for part in value.split(",") if part.strip()]
        exponent = info.data.get("currency_exponent")
        if any(len(part) != 3 or part[0] not in (Role.TREASURER, Role.OWNER) for part in parts):
            raise Refusal(
                sentence(
                    "expected roles that credit, treasurer or owner, each with the most at once and the most within 24 "
                    "hours, or none, such as treasurer:50:200,owner:1000:none"
                )
            )
        if len({role for role, *_ in parts}) < len(parts):
            raise Refusal(sentence("expected each role once"))
        if exponent is None:  # refused itself
            return {}
        return {
            Role(role): RoleLimits(_limit(once, exponent), _limit(day, exponent)) for role, once, day in parts
        }

    def minor_units(self, amount: Decimal | None) -> int | None:
        """An option's amount as the ledger counts; None where it is unset."""
        return None if amount is None else int(amount.scaleb(self.currency_exponent))

    @property
    def known_currencies(self) -> Currencies:
        """CURRENCY, and those of CURRENCIES."""
        return Currencies(Currency(self.currency, self.currency_exponent), *self.currencies)

    def in_currency(self, code: str | None) -> Self:
        """As they are for amounts of one currency, which is the first one there. None: as they are.

        Of one that is no longer in CURRENCIES nobody knows the decimals: amounts of it are in minor units, and say so.
        """
        if code is None or code == self.currency:
            return self
        known = self.known_currencies
        currency = known.get(code) or Currency(f"{code} minor units", 0)
        others = tuple(each for each in known if each.code != code)
        return self.model_copy(
            update={"currency": currency.code, "currency_exponent": currency.exponent, "currencies": others}
        )
