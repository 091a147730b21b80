"""What failed for somebody, newest first: transfers and adjustments that were refused or expired, and jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.ledger import party
from dbcore.outcomes import Party
from dbcore.people.reasons import in_words
from dbcore.sentences import Sentence

SCANNED_MAX = 50_000
"""The newest so many rows of each table are looked through: none has an index by person."""

_REFUSALS = """
(SELECT 'transfer', p.id::text, true, coalesce(p.reason, p.status), p.amount, p.currency, p.memo,
        o.telegram_id, o.username, o.first_name, coalesce(p.decided_at, p.created_at) AS failed_at
   FROM (SELECT * FROM ballast.pending_transfers ORDER BY id DESC LIMIT %(scanned)s) p
   LEFT JOIN ballast.users o ON o.id = p.recipient_user_id
  WHERE p.sender_user_id = %(user_id)s AND p.status IN ('refused', 'failed', 'expired')
  ORDER BY p.id DESC LIMIT %(limit)s)
UNION ALL
(SELECT 'adjustment', p.id::text, true, coalesce(p.reason, p.status), p.amount, p.currency, p.memo, NULL, NULL, NULL,
        coalesce(p.decided_at, p.created_at)
   FROM (SELECT * FROM ballast.pending_adjustments ORDER BY id DESC LIMIT %(scanned)s) p
  WHERE p.target_user_id = %(user_id)s AND p.status IN ('refused', 'failed', 'expired')
  ORDER BY p.id DESC LIMIT %(limit)s)
UNION ALL
(SELECT 'ledger', t.id::text, true, t.reason, t.amount, t.currency, t.memo, NULL, NULL, NULL, t.created_at
   FROM (SELECT * FROM ballast.transfers ORDER BY id DESC LIMIT %(scanned)s) t
  WHERE t.status = 'rejected' AND t.idempotency_key NOT LIKE 'pending%%'
    AND EXISTS (SELECT FROM ballast.accounts a
                 WHERE a.user_id = %(user_id)s AND a.id IN (t.from_account_id, t.to_account_id))
  ORDER BY t.id DESC LIMIT %(limit)s)
UNION ALL
(SELECT 'job', f.reference, f.status <> 'open', f.kind || ': ' || f.error, NULL, NULL, '', NULL, NULL, NULL,
        f.created_at
   FROM (SELECT * FROM ballast.failed_operations ORDER BY id DESC LIMIT %(scanned)s) f
  WHERE f.telegram_id = %(telegram_id)s
  ORDER BY f.id DESC LIMIT %(limit)s)
ORDER BY failed_at DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Refused:
    """One thing that failed.

    what -- a `transfer` that they asked for, an `adjustment` that an admin asked for, what the `ledger` refused to a
        program, or a `job`. number -- of the request, the transfer, or the job's reference.
    settled -- False for a failed job that is still open.
    reason -- as it is on record; `why` says it in words. amount -- minor units of the currency, signed for an
        adjustment.
    """

    what: Literal["transfer", "adjustment", "ledger", "job"]
    number: str
    settled: bool
    reason: str
    amount: int | None
    currency: str | None
    memo: str
    counterparty: Party | None
    failed_at: datetime

    @property
    def why(self) -> Sentence | str:
        return in_words(self.reason)


def refusals(engine: GuardedEngine, user_id: int, telegram_id: int, *, limit: int = 20) -> list[Refused]:
    """The newest, among the newest SCANNED_MAX rows of each table."""
    rows = engine.fetch_rows(
        _REFUSALS,
        {"user_id": user_id, "telegram_id": telegram_id, "limit": limit, "scanned": SCANNED_MAX},
        name="people.refusals",
        writes=False,
    )
    return [
        Refused(what, number, settled, reason, amount, currency, memo, party(*other), failed_at)
        for what, number, settled, reason, amount, currency, memo, *other, failed_at in rows
    ]
