"""Money that is held, newest first, filtered, a page at a time by key. What an app could not hold is not among it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.ledger import party
from dbcore.outcomes import HoldState, Party
from dbcore.people.lists import Page, page_of

# One whose time is over is over, though nobody swept it yet.
_STATE = "CASE WHEN h.status = 'open' AND h.expires_at <= now() THEN 'expired' ELSE h.status END"
_HOLDS = f"""
SELECT h.id, h.amount, h.currency, h.memo, h.actor, h.state, h.posted_amount, h.transfer_id, h.created_at, h.expires_at,
       h.ended_at, u.telegram_id, u.username, u.first_name
  FROM (SELECT h.*, {_STATE} AS state FROM ballast.holds h
         WHERE h.id < %(before)s AND h.id >= %(before)s - %(scanned)s AND h.currency = %(currency)s
         ORDER BY h.id DESC OFFSET 0) AS h
  JOIN ballast.accounts a ON a.id = h.account_id
  JOIN ballast.users u ON u.id = a.user_id
 WHERE h.status <> 'refused'
   AND (%(state)s::text IS NULL OR h.state = %(state)s)
   AND (%(telegram_id)s::bigint IS NULL OR u.telegram_id = %(telegram_id)s)
 ORDER BY h.id DESC LIMIT %(limit)s
"""  # noqa: S608  our own text


@dataclass(frozen=True, slots=True)
class HoldFilters:
    """What of holds is wanted; None: everything. telegram_id -- whose money it is."""

    state: HoldState | None = None
    telegram_id: int | None = None


@dataclass(frozen=True, slots=True)
class ListedHold:
    """Amounts are minor units. posted_amount, transfer_id -- what was taken, and by which transfer; None if nothing
    was. expires_at -- None: until it is posted or voided.
    """

    id: int
    amount: int
    currency: str
    memo: str
    actor: str
    state: HoldState
    posted_amount: int | None
    transfer_id: int | None
    created_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None
    owner: Party


def holds(
    engine: GuardedEngine, *, before: int | None = None, limit: int = 50, filters: HoldFilters | None = None
) -> Page[ListedHold]:
    """A page of those with numbers below `before`."""
    return page_of(engine, "holds", _HOLDS, before, limit, filters or HoldFilters(), _hold)


def hold(engine: GuardedEngine, number: int) -> ListedHold | None:
    """One of them."""
    found = holds(engine, before=number + 1, limit=1).items
    return found[0] if found and found[0].id == number else None


def _hold(row: tuple[Any, ...]) -> ListedHold:
    owner = party(*row[11:14])
    assert owner is not None  # noqa: S101  the statement joins them
    number, amount, currency, memo, actor, state, *rest = row[:11]
    posted, transfer_id, created_at, expires_at, ended_at = rest
    return ListedHold(
        number,
        amount,
        currency,
        memo,
        actor,
        HoldState(state),
        posted,
        transfer_id,
        created_at,
        expires_at,
        ended_at,
        owner,
    )
