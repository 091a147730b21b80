"""Users, transfers and somebody's movements as CSV, a page of rows at a time."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from ballast.operators.csv_text import Table
from dbcore.people.lists import ListedTransfer
from dbcore.people.movements import Movement
from dbcore.people.person import Person
from dbcore.settings import Settings

PAGE = 500
"""Rows of a CSV that are in memory."""


def users_table(settings: Settings) -> Table[Person]:
    head = (
        "telegram_id", "username", "first_name", "status", "balance", "currency", "frozen", "language",
        "first_seen_at", "last_seen_at",
    )  # fmt: skip

    def row(person: Person) -> Iterable[object]:
        return (
            person.telegram_id,
            person.username,
            person.first_name,
            person.status.value,
            _plain(person.balance, settings),
            settings.currency,
            _frozen(person),
            person.language or person.language_code,
            person.first_seen_at,
            person.last_seen_at,
        )

    return Table(head, row)


def transfers_table(settings: Settings) -> Table[ListedTransfer]:
    head = (
        "number", "made_at", "kind", "status", "reason", "amount", "currency", "from_telegram_id", "from_username",
        "to_telegram_id", "to_username", "memo", "actor", "idempotency_key", "reverses",
    )  # fmt: skip

    def row(made: ListedTransfer) -> Iterable[object]:
        sender, recipient = made.sender, made.recipient
        return (
            made.id,
            made.created_at,
            made.kind,
            made.status,
            made.reason,
            _plain(made.amount, settings.in_currency(made.currency)),
            made.currency,
            sender and sender.telegram_id,
            sender and sender.username,
            recipient and recipient.telegram_id,
            recipient and recipient.username,
            made.memo,
            made.actor,
            made.idempotency_key,
            made.reverses,
        )

    return Table(head, row)


def movements_table(settings: Settings) -> Table[Movement]:
    head = (
        "number", "made_at", "kind", "amount", "currency", "balance_after", "counterparty_telegram_id",
        "counterparty_username", "memo", "actor", "idempotency_key", "reverses", "reversed",
    )  # fmt: skip

    def row(made: Movement) -> Iterable[object]:
        other = made.counterparty
        return (
            made.transfer_id,
            made.created_at,
            made.kind,
            _plain(made.amount, settings),
            settings.currency,
            _plain(made.balance_after, settings),
            other and other.telegram_id,
            other and other.username,
            made.memo,
            made.actor,
            made.idempotency_key,
            made.reverses,
            _plain(made.reversed_amount, settings),
        )

    return Table(head, row)


def _frozen(person: Person) -> str:
    """Empty if it is not."""
    if not person.frozen:
        return ""
    return "frozen, receives nothing" if person.receiving_frozen else "frozen"


def _plain(minor: int, settings: Settings) -> Decimal:
    """As a number, which is no text that a spreadsheet may run."""
    return Decimal(minor).scaleb(-settings.currency_exponent)
