"""The adapter that WITHDRAWALS_BY names, and what a withdrawal is paid as."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from ballast.payouts.adapter import PayoutAdapter
from ballast.payouts.manual import NAME, Manual
from ballast.providers import installed
from dbcore.ledger.withdrawals import Limits
from dbcore.sentences import sentence
from dbcore.settings import Settings, SettingsError


def adapter(settings: Settings, name: str | None = None) -> PayoutAdapter | None:
    """A new one each time: what it connects to belongs to an event loop. None if it is not set up.

    name -- of a withdrawal that was made before; None: WITHDRAWALS_BY.
    """
    wanted = settings.withdrawals_by if name is None else name
    if wanted == NAME:
        return Manual(settings.currency, settings.currency_exponent)
    found = None if wanted is None else installed.providers(settings).get(wanted)
    return found if isinstance(found, PayoutAdapter) else None


def require_adapter(settings: Settings) -> None:
    """Raises SettingsError if WITHDRAWALS_BY names nothing that is set up and pays out."""
    if settings.withdrawals_by is None or adapter(settings) is not None:
        return
    found = installed.providers(settings)
    usable = [NAME, *sorted(name for name, by in found.items() if isinstance(by, PayoutAdapter))]
    raise SettingsError(
        sentence(
            "WITHDRAWALS_BY: expected what is set up and pays out ({names}); got {value}",
            names=", ".join(usable),
            value=repr(settings.withdrawals_by),
        )
    )


def pays(amount: int, by: PayoutAdapter, settings: Settings) -> int:
    """What an amount of minor units is paid as, in the adapter's minor units, rounded down."""
    units = Fraction(amount, 10**settings.currency_exponent) / Fraction(by.rate)
    return floor(units * Fraction(10) ** by.exponent)


def limits(settings: Settings) -> Limits:
    return Limits(
        once=settings.minor_units(settings.withdrawals_limit),
        per_day=settings.minor_units(settings.withdrawals_limit_per_day),
        auto=settings.minor_units(settings.withdrawals_auto),
        auto_per_day=settings.minor_units(settings.withdrawals_auto_per_day),
    )
