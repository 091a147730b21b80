"""Everything of one person that is small; their movements are pages of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.ledger import party
from dbcore.ledger.users import Balance, UserRef
from dbcore.outcomes import Party
from dbcore.people.person import COLUMNS, TABLES, Person, person_of

BROADCASTS_LOOKED_AT = 50
WAITING_SCANNED_MAX = 20_000

_FIND = (
    f"SELECT {COLUMNS} FROM {TABLES} WHERE %(telegram_id)s::bigint IS NOT NULL AND u.telegram_id = %(telegram_id)s "  # noqa: S608
    "OR %(telegram_id)s::bigint IS NULL AND lower(u.username) = lower(%(username)s) "
    "ORDER BY u.last_seen_at DESC, u.id DESC LIMIT 1"
)
_BALANCES = "SELECT currency, balance, held, version FROM ballast.accounts WHERE user_id = %s"
_BROADCASTS = """
SELECT b.id, d.status, d.message_id, d.error, d.updated_at, b.payload
  FROM (SELECT id, payload FROM ballast.broadcasts WHERE started_at IS NOT NULL ORDER BY id DESC LIMIT %s) b
  JOIN ballast.broadcast_deliveries d ON d.broadcast_id = b.id AND d.user_id = %s
 ORDER BY b.id DESC
"""
_WAITING = """
SELECT p.id, p.amount, p.currency, p.memo, o.telegram_id, o.username, o.first_name, p.created_at, p.expires_at
  FROM (SELECT * FROM ballast.pending_transfers ORDER BY id DESC LIMIT %s) p
  JOIN ballast.users o ON o.id = p.recipient_user_id
 WHERE p.sender_user_id = %s AND p.status = 'pending' AND p.expires_at > clock_timestamp()
 ORDER BY p.id DESC LIMIT 20
"""


@dataclass(frozen=True, slots=True)
class BroadcastReceived:
    """status -- of its delivery to them: pending, leased, sent, unknown, blocked or failed.
    payload -- what was sent.
    """

    broadcast_id: int
    status: str
    message_id: int | None
    error: str | None
    updated_at: datetime
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A transfer that they were asked to confirm, and did not yet. amount -- minor units."""

    number: int
    amount: int
    currency: str
    memo: str
    recipient: Party | None
    created_at: datetime
    expires_at: datetime


def find(engine: GuardedEngine, ref: UserRef) -> Person | None:
    """Exactly one, by id or by username."""
    telegram_id, username = ref.parameters()
    rows = engine.fetch_rows(
        _FIND,
        {"currency": engine.currency, "telegram_id": telegram_id, "username": username},
        name="people.find",
        writes=False,
    )
    return with_balances(engine, person_of(rows[0])) if rows else None


def with_balances(engine: GuardedEngine, person: Person) -> Person:
    """The same with their balances in each currency, as far as they have accounts."""
    balances = [Balance(engine.currency, person.balance, person.held, person.version)]
    if len(engine.currencies) > 1:
        found = engine.fetch_rows(_BALANCES, (person.user_id,), name="people.balances", writes=False)
        known = {row[0]: Balance(*row) for row in found}
        balances += [known[each.code] for each in engine.currencies if each.code in known][1:]
    return replace(person, balances=tuple(balances))


def broadcasts_received(engine: GuardedEngine, user_id: int) -> list[BroadcastReceived]:
    """Of the newest BROADCASTS_LOOKED_AT, newest first. Deliveries are kept for DELIVERIES_KEEP_DAYS."""
    rows = engine.fetch_rows(
        _BROADCASTS, (BROADCASTS_LOOKED_AT, user_id), name="people.broadcasts", writes=False
    )
    return [BroadcastReceived(*row) for row in rows]


def unconfirmed(engine: GuardedEngine, user_id: int) -> list[Unconfirmed]:
    """What waits for their Confirm; what waits in the inbox, Redis knows."""
    rows = engine.fetch_rows(_WAITING, (WAITING_SCANNED_MAX, user_id), name="people.waiting", writes=False)
    return [
        Unconfirmed(number, amount, currency, memo, party(*other), created_at, expires_at)
        for number, amount, currency, memo, *other, created_at, expires_at in rows
    ]
