"""Somebody with their account, as lists and the card show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dbcore.ledger.users import Balance, UserStatus

COLUMNS = (
    "u.id, u.telegram_id, u.username, u.first_name, u.status, u.language, u.language_code, u.time_zone, u.created_at, "
    "nullif(u.last_seen_at, 'epoch'), u.broadcasts_stopped_at, coalesce(a.balance, 0), coalesce(a.version, 0), "
    "coalesce(a.sending_frozen, false), coalesce(a.receiving_frozen, false), coalesce(a.held, 0)"
)
"""Of `users u` and their account `a`, in the order of Person."""

TABLES = "ballast.users u LEFT JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = %(currency)s"


@dataclass(frozen=True, slots=True)
class Person:
    """Names are as Telegram said them last, empty if they were erased. They are not escaped for anything.

    language -- that they chose; language_code -- that Telegram says. last_seen_at -- None if they never wrote.
    balance, held -- minor units of the first currency; what is held cannot be spent. version -- how many movements
    there are in it. balances -- in each currency, the first one first; of the card alone, empty in lists.
    """

    user_id: int
    telegram_id: int
    username: str | None
    first_name: str
    status: UserStatus
    language: str | None
    language_code: str | None
    time_zone: str | None
    first_seen_at: datetime
    last_seen_at: datetime | None
    broadcasts_stopped_at: datetime | None
    balance: int
    version: int
    sending_frozen: bool
    receiving_frozen: bool
    held: int
    balances: tuple[Balance, ...] = ()

    def balance_in(self, currency: str) -> Balance:
        """Zero if they have no account in it yet."""
        known = (each for each in self.balances if each.currency == currency)
        return next(known, Balance(currency, 0, 0, 0))

    @property
    def available(self) -> int:
        """What they can spend."""
        return self.balance - self.held

    @property
    def frozen(self) -> bool:
        return self.sending_frozen or self.receiving_frozen


def person_of(row: Sequence[Any]) -> Person:
    """From COLUMNS."""
    user_id, telegram_id, username, first_name, status, *rest = row
    return Person(user_id, telegram_id, username, first_name, UserStatus(status), *rest)
