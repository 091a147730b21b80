"""The balance sheet and daily totals: of what is sealed from its totals, of the rest from the entries themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from dbcore.fingerprints import fingerprint
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import OutcomeStatus, RejectionReason
from dbcore.text import storable

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine

ACCOUNTS = (
    "users",
    "house",
    "stars",
    "opening",
    "adjustments",
    "promo",
    "provider_fees",
    "payouts",
    "subscriptions",
    "exchange",
)
"""`users` are the accounts of all users together; the others are the system accounts. Each provider has one beside
them, `provider:<name>`.
"""

RECLASSIFIED = tuple(name for name in ACCOUNTS if name not in ("users", "stars"))
"""Between which an operator may move an amount."""

READ_SECONDS_MAX = 60.0
DAYS_MAX = 3_660

_BEYOND = "(SELECT coalesce(max(s.entries_to), 0) FROM ballast.ledger_seals s)"
_TOTALS = f"""
SELECT d.day, d.currency, d.account, d.kind, d.debits, d.credits, d.entries FROM ballast.ledger_days d
UNION ALL
SELECT (t.created_at AT TIME ZONE 'UTC')::date, a.currency, coalesce(s.name, 'users'), t.kind,
       greatest(-e.amount, 0), greatest(e.amount, 0), 1
  FROM ballast.entries e
  JOIN ballast.transfers t ON t.id = e.transfer_id
  JOIN ballast.accounts a ON a.id = e.account_id
  LEFT JOIN ballast.system_accounts s ON s.account_id = a.id
 WHERE e.id > {_BEYOND}
"""  # noqa: S608  our own text
_SHEET = f"""
SELECT currency, account, sum(credits - debits), sum(entries)::bigint FROM ({_TOTALS}) AS totals
 GROUP BY currency, account ORDER BY currency, account
"""  # noqa: S608
_DAYS = f"""
SELECT day, currency, account, kind, sum(debits), sum(credits), sum(entries)::bigint FROM ({_TOTALS}) AS totals
 WHERE day > (now() AT TIME ZONE 'UTC')::date - %s
 GROUP BY day, currency, account, kind ORDER BY day DESC, currency, account, kind
"""  # noqa: S608
_RECLASSIFY = "SELECT * FROM ballast.ledger_reclassify(%s, %s, %s, %s, %s, %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class AccountTotal:
    """balance -- minor units. System accounts are the other side: what users have, they lack."""

    currency: str
    account: str
    balance: int
    entries: int


@dataclass(frozen=True, slots=True)
class DayTotal:
    """debits, credits -- minor units of the transfers of one kind that are dated that UTC day."""

    day: date
    currency: str
    account: str
    kind: str
    debits: int
    credits: int
    entries: int


@dataclass(frozen=True, slots=True)
class Reclassified:
    transfer_id: int | None
    status: OutcomeStatus
    reason: RejectionReason | None


def balance_sheet(engine: GuardedEngine) -> list[AccountTotal]:
    """An account that nothing was booked on is not there. Of each currency the balances sum to zero."""
    rows = engine.fetch_rows(
        _SHEET, name="books.balance_sheet", writes=False, deadline_seconds=READ_SECONDS_MAX
    )
    totals = [
        AccountTotal(currency, account, _whole(balance), count) for currency, account, balance, count in rows
    ]
    return sorted(totals, key=lambda each: (each.currency, _place(each.account), each.account))


def daily_totals(engine: GuardedEngine, days: int) -> list[DayTotal]:
    """Of so many days, today's first."""
    rows = engine.fetch_rows(
        _DAYS,
        (min(days, DAYS_MAX),),
        name="books.daily_totals",
        writes=False,
        deadline_seconds=READ_SECONDS_MAX,
    )
    return [
        DayTotal(day, currency, account, kind, _whole(debits), _whole(credits_), count)
        for day, currency, account, kind, debits, credits_, count in rows
    ]


def reclassify(
    engine: GuardedEngine,
    *,
    key: str,
    from_: str,
    to: str,
    amount: int,
    memo: str,
    actor: str,
    currency: str | None = None,
) -> Reclassified:
    """Move an amount of minor units from one system account to another, by a transfer of now, once for the key.

    currency -- one of the bot's; None is the first. Raises ValueError for accounts that are not RECLASSIFIED, or an
    amount that no transfer has.
    """
    if from_ == to or not {from_, to} <= {*RECLASSIFIED}:
        raise ValueError(f"expected two of {', '.join(RECLASSIFIED)}")
    if not 0 < amount <= MAX_AMOUNT:
        raise ValueError("expected an amount above zero that a transfer can have")
    currency = engine.known_currency(currency)
    mark = fingerprint("reclassify", from_, to, amount, currency, storable(memo))
    transfer_id, status, reason = engine.fetch_row(
        _RECLASSIFY,
        (
            f"reclassify:{key}",
            mark,
            from_,
            to,
            amount,
            currency,
            storable(memo),
            storable(actor),
        ),
        name="books.reclassify",
    )
    return Reclassified(
        transfer_id, OutcomeStatus(status), None if reason is None else RejectionReason(reason)
    )


def _place(account: str) -> int:
    return ACCOUNTS.index(account) if account in ACCOUNTS else len(ACCOUNTS)


def _whole(total: Decimal) -> int:
    return int(total)
