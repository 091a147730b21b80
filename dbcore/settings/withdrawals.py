"""Payouts to people."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dbcore.expectations import shaped
from dbcore.settings.money import Amount, MoneyOptions


class WithdrawalOptions(MoneyOptions):
    """Who pays withdrawals, and what is paid without asking."""

    withdrawals_by: Annotated[
        str | None,
        Field(
            pattern=shaped(r"^[a-z][a-z0-9_]{0,19}$", "the name of a provider, such as manual or crypto_pay")
        ),
    ] = None
    withdrawals_limit: Amount = None
    withdrawals_limit_per_day: Amount = None
    withdrawals_auto: Amount = None
    withdrawals_auto_per_day: Amount = None
