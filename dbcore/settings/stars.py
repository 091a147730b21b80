"""Payments in Telegram Stars."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from dbcore.currencies import STARS_MAX
from dbcore.expectations import shaped
from dbcore.money import minor_units
from dbcore.sentences import Refusal, sentence
from dbcore.settings.money import MoneyOptions, is_usable_rate
from dbcore.settings.options import listed
from dbcore.subscription_plans import SubscriptionPlan, read_plans

PACKAGES_MAX = 12


class StarOptions(MoneyOptions):
    """Deposits and subscriptions in Stars, their refunds and their reconciliation."""

    stars_rate: Annotated[Decimal, Field(gt=0)] = Decimal(1)
    stars_packages: Annotated[str, Field(validate_default=True)] = "50,100,250,500"
    stars_support: Annotated[str | None, Field(max_length=2_000)] = None
    stars_terms: Annotated[str | None, Field(max_length=2_000)] = None
    stars_reconcile_at: Annotated[
        str,
        Field(pattern=shaped(r"^(?:([01][0-9]|2[0-3]):[0-5][0-9]|never)$", "a time such as 04:00, or never")),
    ] = "04:00"
    stars_refund_hours: Annotated[int, Field(ge=0, le=504)] = 0  # Telegram pays out after 21 days
    stars_subscriptions: str | None = None

    @field_validator("stars_rate")
    @classmethod
    def _no_endless_rate(cls, value: Decimal) -> Decimal:
        if not is_usable_rate(value):
            raise Refusal(sentence("expected units of the currency for one Star, such as 1 or 0.02"))
        return value

    @field_validator("stars_packages")
    @classmethod
    def _whole_packages(cls, value: str, info: ValidationInfo) -> str:
        parts = listed(value)
        if not 0 < len(parts) <= PACKAGES_MAX or not all(
            re.fullmatch(r"[1-9][0-9]{0,4}", part) for part in parts
        ):
            raise Refusal(
                sentence(
                    "expected 1 to {number} numbers of Stars, comma separated, such as {example}",
                    number=PACKAGES_MAX,
                    example="50,100,250",
                )
            )
        if max(map(int, parts)) > STARS_MAX:
            raise Refusal(sentence("expected at most {number} Stars in one package", number=str(STARS_MAX)))
        rate, exponent = info.data.get("stars_rate"), info.data.get("currency_exponent")
        if rate is None or exponent is None:  # refused themselves
            return value
        for stars in parts:
            if minor_units(Fraction(rate) * int(stars), exponent) is None:
                raise Refusal(
                    sentence(
                        "expected packages that are a whole number of minor units; {stars} Stars at {rate} with "
                        "{exponent} are none",
                        stars=stars,
                        rate=f"STARS_RATE={rate}",
                        exponent=f"CURRENCY_EXPONENT={exponent}",
                    )
                )
        return ",".join(parts)

    @field_validator("stars_subscriptions")
    @classmethod
    def _whole_plans(cls, value: str | None, info: ValidationInfo) -> str | None:
        plans = read_plans(value or "")
        rate, exponent = info.data.get("stars_rate"), info.data.get("currency_exponent")
        if rate is None or exponent is None:  # refused themselves
            return value
        for plan in plans:
            if minor_units(Fraction(rate) * plan.stars, exponent) is None:
                raise Refusal(
                    sentence(
                        "expected plans whose Stars are a whole number of minor units; {stars} Stars at {rate} with "
                        "{exponent} are none",
                        stars=str(plan.stars),
                        rate=f"STARS_RATE={rate}",
                        exponent=f"CURRENCY_EXPONENT={exponent}",
                    )
                )
        return value

    @property
    def star_packages(self) -> tuple[int, ...]:
        """What /deposit offers, in Stars."""
        return tuple(map(int, listed(self.stars_packages)))

    @property
    def subscription_plans(self) -> tuple[SubscriptionPlan, ...]:
        """What people can subscribe to."""
        return read_plans(self.stars_subscriptions or "")

    def subscription_plan(self, name: str) -> SubscriptionPlan | None:
        """None if it is no longer offered, or never was."""
        return next((plan for plan in self.subscription_plans if plan.name == name), None)
