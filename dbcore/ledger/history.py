"""Someone's entries, newest first, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.ledger import party
from dbcore.ledger.users import Profile, read_and_note
from dbcore.outcomes import Party

LIMIT_MAX = 100

# Where something is held, it is from the same row as the balance and its version.
_PAGE_SQL = """
SELECT CASE WHEN a.held > 0 THEN a.version ELSE page.r_newest END,
       CASE WHEN a.held > 0 THEN a.balance ELSE page.r_balance END, page.r_entries, coalesce(a.held, 0)
  FROM ballast.history_page(%s, %s, %s, %s, %s, %s) AS page
  LEFT JOIN (SELECT a.balance, a.version, a.held FROM ballast.users u
               JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = %s WHERE u.telegram_id = %s) AS a ON true
"""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One movement on the account. Nobody is the counterparty where it was the house."""

    version: int
    amount: int
    balance_after: int
    kind: str
    memo: str
    counterparty: Party | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Entries of the versions (upto - limit, upto]. `newest_version` is 0 while nothing ever moved.

    held -- what of the balance is not available.
    """

    entries: list[HistoryEntry]
    newest_version: int
    currency: str
    balance: int
    held: int = 0


def page(
    engine: GuardedEngine,
    *,
    profile: Profile,
    upto_version: int | None,
    limit: int,
    currency: str | None = None,
) -> HistoryPage:
    """The page that ends with `upto_version`, None being the newest. Versions have no gaps, so the next page
    ends at `upto_version - limit`.

    currency -- one of the bot's; None is the first.
    """
    currency = engine.known_currency(currency)
    if not 1 <= limit <= LIMIT_MAX:
        raise ValueError(f"a page has 1 to {LIMIT_MAX} entries, not {limit}")
    newest, balance, rows, held = read_and_note(
        engine,
        _PAGE_SQL,
        (*profile.parameters(), currency, upto_version, limit, currency, profile.telegram_id),
        name="history.page",
    )
    return HistoryPage(
        entries=[
            HistoryEntry(
                version=version,
                amount=amount,
                balance_after=balance_after,
                kind=kind,
                memo=memo,
                counterparty=party(*counterparty),
                created_at=datetime.fromisoformat(created_at),
            )
            for version, amount, balance_after, kind, memo, created_at, *counterparty in rows
        ],
        newest_version=newest,
        currency=currency,
        balance=balance,
        held=held,
    )
