"""The balance sheet and daily totals as rows, with amounts as exact text, such as `-5.50`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from dbcore.ledger.books import AccountTotal, DayTotal
from dbcore.money import plain_amount

SHEET_COLUMNS = ("currency", "account", "balance", "entries")
DAYS_COLUMNS = ("day", "currency", "account", "kind", "debits", "credits", "entries")

DecimalsOf = Callable[[str], int]
"""Of a currency."""


def sheet_rows(sheet: Iterable[AccountTotal], decimals_of: DecimalsOf) -> list[dict[str, Any]]:
    """One for each account."""
    return [
        {**asdict(each), "balance": plain_amount(each.balance, decimals_of(each.currency))} for each in sheet
    ]


def day_rows(days: Iterable[DayTotal], decimals_of: DecimalsOf) -> list[dict[str, Any]]:
    """One for each UTC day, account and kind of transfer."""
    return [
        {
            **asdict(each),
            "day": each.day.isoformat(),
            "debits": plain_amount(each.debits, decimals_of(each.currency)),
            "credits": plain_amount(each.credits, decimals_of(each.currency)),
        }
        for each in days
    ]
