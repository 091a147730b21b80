"""Payments by providers other than Telegram."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from dbcore.expectations import shaped
from dbcore.money import minor_units
from dbcore.sentences import Refusal, sentence
from dbcore.settings.money import MoneyOptions, is_usable_rate
from dbcore.settings.options import listed

PAY_PACKAGES_MAX = 6
_ODD_AT_STRIPE = frozenset({"ISK", "UGX", "HUF", "TWD"})

_HOST = shaped(r"^https?://[^\s/]+/?$", "https:// and a host")


class ProviderOptions(MoneyOptions):
    """Deposits by Crypto Pay and Stripe."""

    pay_packages: Annotated[str, Field(validate_default=True)] = "5,10,25,50"
    crypto_pay_token: SecretStr | None = None
    crypto_pay_asset: Literal["USDT", "USDC", "TON", "GRAM", "BTC", "LTC", "ETH", "BNB", "TRX"] = "USDT"
    crypto_pay_rate: Annotated[Decimal, Field(gt=0)] = Decimal(1)
    crypto_pay_url: Annotated[str, Field(pattern=_HOST)] = "https://pay.crypt.bot"
    stripe_key: SecretStr | None = None
    stripe_webhook_secret: SecretStr | None = None
    stripe_currency: Annotated[
        str, Field(pattern=shaped(r"^[A-Z]{3}$", "three capital letters, such as USD"))
    ] = "USD"
    stripe_rate: Annotated[Decimal, Field(gt=0)] = Decimal(1)
    stripe_url: Annotated[str, Field(pattern=_HOST)] = "https://api.stripe.com"
    stripe_return_url: Annotated[
        str, Field(pattern=shaped(r"^https://\S{1,500}$", "an https:// address"))
    ] = "https://t.me"

    @field_validator("crypto_pay_rate", "stripe_rate")
    @classmethod
    def _usable_rate(cls, value: Decimal) -> Decimal:
        if not is_usable_rate(value):
            raise Refusal(
                sentence("expected units of the currency for one of the provider's, such as 1 or 0.02")
            )
        return value

    @field_validator("stripe_currency")
    @classmethod
    def _has_plain_minor_units(cls, value: str) -> str:
        if value in _ODD_AT_STRIPE:
            raise Refusal(
                sentence("expected a currency whose minor units Stripe takes one by one, such as USD or EUR")
            )
        return value

    @field_validator("pay_packages")
    @classmethod
    def _packages_of_the_currency(cls, value: str, info: ValidationInfo) -> str:
        parts, exponent = listed(value), info.data.get("currency_exponent")
        if exponent is None:  # refused itself
            return value
        if not 0 < len(parts) <= PAY_PACKAGES_MAX or not all(
            re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,8})?", part) and minor_units(Fraction(part), exponent)
            for part in parts
        ):
            raise Refusal(
                sentence(
                    "expected 1 to {number} amounts of the currency, comma separated, such as {example}",
                    number=PAY_PACKAGES_MAX,
                    example="5,10,25",
                )
            )
        return ",".join(parts)

    @model_validator(mode="after")
    def _stripe_whole(self) -> Self:
        if self.stripe_key is not None and self.stripe_webhook_secret is None:
            raise Refusal(
                sentence(
                    "STRIPE_KEY: expected STRIPE_WEBHOOK_SECRET beside it: webhooks are signed with that"
                )
            )
        if self.stripe_webhook_secret is not None and self.stripe_key is None:
            raise Refusal(sentence("STRIPE_WEBHOOK_SECRET: expected STRIPE_KEY beside it"))
        return self

    @property
    def pay_amounts(self) -> tuple[int, ...]:
        """What /deposit offers by other providers, in minor units."""
        return tuple(
            minor_units(Fraction(part), self.currency_exponent) or 0 for part in listed(self.pay_packages)
        )
