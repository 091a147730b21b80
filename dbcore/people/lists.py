"""All users and all transfers, newest first, filtered, a page at a time by key: every page costs the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.ledger import party
from dbcore.outcomes import Party
from dbcore.people.person import COLUMNS, Person, person_of

T = TypeVar("T")

LIMIT_MAX = 1_000
SCANNED_MAX = 20_000
"""Rows that one page looks at, at most, so that a filter that fits nothing costs no more."""

_NEWEST = "SELECT coalesce((SELECT max(id) FROM ballast.{}), 0)"
_USERS = f"""
SELECT {COLUMNS}
  FROM (SELECT * FROM ballast.users WHERE id < %(before)s AND id >= %(before)s - %(scanned)s ORDER BY id DESC) AS u
  LEFT JOIN LATERAL (SELECT * FROM ballast.accounts a WHERE a.user_id = u.id AND a.currency = %(currency)s
                     OFFSET 0) AS a ON true
 WHERE (%(status)s::text IS NULL OR u.status = %(status)s)
   AND (%(frozen)s::boolean IS NULL OR coalesce(a.sending_frozen OR a.receiving_frozen, false) = %(frozen)s)
   AND (%(language)s::text IS NULL OR coalesce(u.language, u.language_code) = %(language)s)
   AND (%(balance_min)s::bigint IS NULL OR coalesce(a.balance, 0) >= %(balance_min)s)
   AND (%(balance_max)s::bigint IS NULL OR coalesce(a.balance, 0) <= %(balance_max)s)
   AND (%(joined_since)s::timestamptz IS NULL OR u.created_at >= %(joined_since)s)
   AND (%(seen_since)s::timestamptz IS NULL OR u.last_seen_at >= %(seen_since)s)
   AND (%(seen_until)s::timestamptz IS NULL OR u.last_seen_at < %(seen_until)s)
 ORDER BY u.id DESC LIMIT %(limit)s
"""  # noqa: S608  our own text
_PARTY = """LATERAL (SELECT u.telegram_id, u.username, u.first_name FROM ballast.accounts a
                       JOIN ballast.users u ON u.id = a.user_id WHERE a.id = t.{}_account_id OFFSET 0)"""
_TRANSFERS = f"""
SELECT t.id, t.idempotency_key, t.amount, t.currency, t.kind, t.status, t.reason, t.memo, t.actor, t.created_at,
       f.telegram_id, f.username, f.first_name, g.telegram_id, g.username, g.first_name,
       (SELECT r.reverses_id FROM ballast.reversals r WHERE r.transfer_id = t.id)
  FROM (SELECT * FROM ballast.transfers
         WHERE id < %(before)s AND id >= %(before)s - %(scanned)s
           AND (%(kind)s::text IS NULL OR kind = %(kind)s)
           AND (%(status)s::text IS NULL OR status = %(status)s)
           AND (%(amount_min)s::bigint IS NULL OR amount >= %(amount_min)s)
           AND (%(amount_max)s::bigint IS NULL OR amount <= %(amount_max)s)
           AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
           AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s)
         ORDER BY id DESC LIMIT %(limit)s) AS t
  LEFT JOIN {_PARTY.format("from")} AS f ON true
  LEFT JOIN {_PARTY.format("to")} AS g ON true
 ORDER BY t.id DESC
"""  # noqa: S608  our own text
_OF_KEY = "SELECT id FROM ballast.transfers WHERE idempotency_key = %s"
_LEFT = "SELECT ballast.ledger_left_to_reverse(%s)"


@dataclass(frozen=True, slots=True)
class UserFilters:
    """What of users is wanted; None: everything. frozen -- in one direction or both. Balances are minor units."""

    status: str | None = None
    frozen: bool | None = None
    language: str | None = None
    balance_min: int | None = None
    balance_max: int | None = None
    joined_since: datetime | None = None
    seen_since: datetime | None = None
    seen_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class TransferFilters:
    """What of transfers is wanted; None: everything. status -- applied or rejected. Amounts are minor units."""

    kind: str | None = None
    status: str | None = None
    amount_min: int | None = None
    amount_max: int | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListedTransfer:
    """sender, recipient -- None is a system account, or somebody unknown. reason -- why it was refused, if it was.
    reverses -- the number of the transfer that it reverses. amount -- minor units.
    """

    id: int
    idempotency_key: str
    amount: int
    currency: str
    kind: str
    status: str
    reason: str | None
    memo: str
    actor: str
    created_at: datetime
    sender: Party | None
    recipient: Party | None
    reverses: int | None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """next_before -- the cursor of the next page; None after the last one. A page may hold fewer than asked for, or
    none, and still have a next one: a page looks at SCANNED_MAX rows at most.
    """

    items: list[T]
    next_before: int | None


def users(
    engine: GuardedEngine, *, before: int | None = None, limit: int = 50, filters: UserFilters | None = None
) -> Page[Person]:
    """A page of those with `user_id` below `before`."""
    return page_of(engine, "users", _USERS, before, limit, filters or UserFilters(), person_of)


def transfers(
    engine: GuardedEngine,
    *,
    before: int | None = None,
    limit: int = 50,
    filters: TransferFilters | None = None,
) -> Page[ListedTransfer]:
    """A page of those with numbers below `before`."""
    return page_of(engine, "transfers", _TRANSFERS, before, limit, filters or TransferFilters(), _transfer)


def transfer(engine: GuardedEngine, number: int) -> ListedTransfer | None:
    """One transfer."""
    found = transfers(engine, before=number + 1, limit=1).items
    return found[0] if found and found[0].id == number else None


def transfer_of_key(engine: GuardedEngine, key: str) -> ListedTransfer | None:
    """The transfer of an idempotency key."""
    rows = engine.fetch_rows(_OF_KEY, (key,), name="people.transfer_of_key", writes=False)
    return transfer(engine, rows[0][0]) if rows else None


def left_to_reverse(engine: GuardedEngine, number: int) -> int | None:
    """What of a transfer was not reversed yet, in minor units; None if there is no such transfer."""
    (left,) = engine.fetch_row(_LEFT, (number,), name="people.left_to_reverse", writes=False)
    return None if left is None else int(left)


def page_of(
    engine: GuardedEngine,
    table: str,
    statement: str,
    before: int | None,
    limit: int,
    filters: Any,
    made_of: Callable[[tuple[Any, ...]], T],
) -> Page[T]:
    """A page of a table with numbers. statement -- takes `before`, `scanned`, `limit`, `currency` and the filters'
    fields, and answers rows whose first column is the number.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise ValueError(f"a page has 1 to {LIMIT_MAX} rows, not {limit}")
    if before is None:
        (newest,) = engine.fetch_row(_NEWEST.format(table), name=f"people.{table}", writes=False)
        before = newest + 1
    wanted = {name: getattr(filters, name) for name in filters.__dataclass_fields__}
    rows = engine.fetch_rows(
        statement,
        {"currency": engine.currency, "before": before, "scanned": SCANNED_MAX, "limit": limit, **wanted},
        name=f"people.{table}",
        writes=False,
    )
    end = rows[-1][0] if len(rows) == limit else max(1, before - SCANNED_MAX)
    return Page([made_of(row) for row in rows], end if end > 1 else None)


def _transfer(row: tuple[Any, ...]) -> ListedTransfer:
    number, key, amount, currency, kind, status, reason, memo, actor, created_at, *parties, reverses = row
    return ListedTransfer(
        id=number,
        idempotency_key=key,
        amount=amount,
        currency=currency,
        kind=kind,
        status=status,
        reason=reason,
        memo=memo,
        actor=actor,
        created_at=created_at,
        sender=party(*parties[:3]),
        recipient=party(*parties[3:]),
        reverses=reverses,
    )
