"""The providers that are set up: Ballast's own by settings, and those of apps."""

from __future__ import annotations

from ballast.apps.installed import INSTALLED
from ballast.providers.crypto_pay import CryptoPay
from ballast.providers.provider import Provider
from ballast.providers.stripe import Stripe
from dbcore.settings import Settings


def providers(settings: Settings) -> dict[str, Provider]:
    """By their names, new ones each time: what they connect to belongs to an event loop."""
    found: dict[str, Provider] = {}
    if settings.crypto_pay_token is not None:
        found[CryptoPay.name] = CryptoPay(
            settings.crypto_pay_token.get_secret_value(),
            asset=settings.crypto_pay_asset,
            rate=settings.crypto_pay_rate,
            url=settings.crypto_pay_url,
        )
    if settings.stripe_key is not None and settings.stripe_webhook_secret is not None:
        found[Stripe.name] = Stripe(
            settings.stripe_key.get_secret_value(),
            settings.stripe_webhook_secret.get_secret_value(),
            currency=settings.stripe_currency,
            rate=settings.stripe_rate,
            url=settings.stripe_url,
            return_url=settings.stripe_return_url,
        )
    for app in INSTALLED.apps:
        for name, make in app.providers.items():
            made = make(INSTALLED.settings.get(app.name))
            if made is not None:
                found[name] = made
    return found
