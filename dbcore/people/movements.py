"""Somebody's entries, newest first, filtered, a page at a time: by the account's versions, which have no gaps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.ledger import party
from dbcore.outcomes import Party

LIMIT_MAX = 500
SCANNED_MAX = 5_000
"""Entries that one page looks at, at most, so that a filter that fits nothing costs no more."""

# What a page needs of other tables is looked up row by row, behind OFFSET 0: a plan that reads a whole table, which the
# planner may prefer for a filter that fits little, would take the longer the larger the table is.
_ENTRIES = """
SELECT e.account_version, e.transfer_id, e.amount, e.balance_after, t.kind, t.memo, t.actor, t.idempotency_key,
       t.created_at, o.telegram_id, o.username, o.first_name, s.name,
       (SELECT r.reverses_id FROM ballast.reversals r WHERE r.transfer_id = t.id),
       CASE WHEN t.kind = 'reversal' THEN 0 ELSE
            (SELECT coalesce(sum(made.amount), 0) FROM ballast.reversals r
               JOIN ballast.transfers made ON made.id = r.transfer_id WHERE r.reverses_id = t.id) END::bigint
  FROM (SELECT e.account_version, e.transfer_id, e.account_id, e.amount, e.balance_after FROM ballast.entries e
         WHERE e.account_id = %(account_id)s AND e.account_version < %(before)s
           AND e.account_version >= %(before)s - %(scanned)s
         ORDER BY e.account_version DESC) AS e
 CROSS JOIN LATERAL (SELECT t.* FROM ballast.transfers t WHERE t.id = e.transfer_id OFFSET 0) AS t
 CROSS JOIN LATERAL (SELECT CASE WHEN t.from_account_id = e.account_id THEN t.to_account_id
                                 ELSE t.from_account_id END AS id) AS other
  LEFT JOIN LATERAL (SELECT u.telegram_id, u.username, u.first_name FROM ballast.accounts a
                       JOIN ballast.users u ON u.id = a.user_id WHERE a.id = other.id OFFSET 0) AS o ON true
  LEFT JOIN LATERAL (SELECT s.name FROM ballast.system_accounts s WHERE s.account_id = other.id
                     OFFSET 0) AS s ON true
 WHERE (%(kind)s::text IS NULL OR t.kind = %(kind)s)
   AND (%(direction)s::text IS NULL OR (e.amount > 0) = (%(direction)s = 'in'))
   AND (%(counterparty)s::bigint IS NULL OR o.telegram_id = %(counterparty)s)
   AND (%(amount_min)s::bigint IS NULL OR abs(e.amount) >= %(amount_min)s)
   AND (%(amount_max)s::bigint IS NULL OR abs(e.amount) <= %(amount_max)s)
   AND (%(since)s::timestamptz IS NULL OR t.created_at >= %(since)s)
   AND (%(until)s::timestamptz IS NULL OR t.created_at < %(until)s)
   AND (%(memo)s::text IS NULL OR strpos(lower(t.memo), lower(%(memo)s)) > 0)
 ORDER BY e.account_version DESC LIMIT %(limit)s
"""
_ACCOUNT = (
    "SELECT a.id, a.version FROM ballast.users u JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = %s "
    "WHERE u.telegram_id = %s"
)


@dataclass(frozen=True, slots=True)
class Filters:
    """What of them is wanted; None: everything. since, until -- from, and before; amounts in minor units, unsigned."""

    kind: str | None = None
    direction: str | None = None
    counterparty: int | None = None
    amount_min: int | None = None
    amount_max: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    memo: str | None = None


@dataclass(frozen=True, slots=True)
class Movement:
    """One entry. amount -- signed minor units. system_account -- the other side, if that is nobody: house or stars.

    reverses -- the number of the transfer that it reverses. reversed_amount -- what of it was reversed.
    """

    version: int
    transfer_id: int
    amount: int
    balance_after: int
    kind: str
    memo: str
    actor: str
    idempotency_key: str
    created_at: datetime
    counterparty: Party | None
    system_account: str | None
    reverses: int | None
    reversed_amount: int


@dataclass(frozen=True, slots=True)
class MovementsPage:
    """next_before -- the cursor of the next page; None after the last one. A page may hold fewer than asked for, or
    none, and still have a next one: a page looks at SCANNED_MAX entries at most.
    """

    movements: list[Movement]
    next_before: int | None


def movements(
    engine: GuardedEngine,
    telegram_id: int,
    *,
    before: int | None = None,
    limit: int = 50,
    filters: Filters | None = None,
    currency: str | None = None,
) -> MovementsPage:
    """A page of those in one currency with versions below `before`, None being all. Of somebody unknown there are none.

    currency -- one of the bot's; None is the first.
    """
    currency = engine.known_currency(currency)
    if not 1 <= limit <= LIMIT_MAX:
        raise ValueError(f"a page has 1 to {LIMIT_MAX} movements, not {limit}")
    found = engine.fetch_rows(_ACCOUNT, (currency, telegram_id), name="people.account", writes=False)
    if not found:
        return MovementsPage([], None)
    account_id, version = found[0]
    begin = version + 1 if before is None else min(before, version + 1)
    statement, parameters = page_statement(account_id, begin, limit, filters or Filters())
    rows = engine.fetch_rows(statement, parameters, name="people.movements", writes=False)
    # As full as it may be, it ends with its last row; else with the last entry that was looked at.
    end = rows[-1][0] if len(rows) == limit else max(1, begin - SCANNED_MAX)
    return MovementsPage([_movement(row) for row in rows], end if end > 1 else None)


def page_statement(account_id: int, before: int, limit: int, filters: Filters) -> tuple[str, dict[str, Any]]:
    """What reads a page, and its parameters."""
    wanted = {
        name: getattr(filters, name)
        for name in (
            "kind",
            "direction",
            "counterparty",
            "amount_min",
            "amount_max",
            "since",
            "until",
            "memo",
        )
    }
    return _ENTRIES, {
        "account_id": account_id,
        "before": before,
        "scanned": SCANNED_MAX,
        "limit": limit,
        **wanted,
    }


def _movement(row: tuple[Any, ...]) -> Movement:
    (
        version,
        transfer_id,
        amount,
        balance_after,
        kind,
        memo,
        actor,
        idempotency_key,
        created_at,
        telegram_id,
        username,
        first_name,
        system_account,
        reverses,
        reversed_amount,
    ) = row
    return Movement(
        version=version,
        transfer_id=transfer_id,
        amount=amount,
        balance_after=balance_after,
        kind=kind,
        memo=memo,
        actor=actor,
        idempotency_key=idempotency_key,
        created_at=created_at,
        counterparty=party(telegram_id, username, first_name),
        system_account=system_account,
        reverses=reverses,
        reversed_amount=reversed_amount,
    )
