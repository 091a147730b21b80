"""What a provider lists of the payments that this bot asked for, and how it differs from the ledger.

    begin() ──▶ keep() a page ──▶ … ──▶ finish()
                       └─ killed in between: the next reading begins anew

The differences are found by one query whenever they are asked for, from each provider's last reading that was finished,
and from what was told and could not be booked: so one that is booked since is none any more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from dbcore.text import storable_json

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine

SHOWN_MAX = 10_000
"""Differences that are read at once."""

_BEGIN = """
INSERT INTO ballast.provider_reconciliations (provider, since, newest_transfer_id)
SELECT %s, to_timestamp(%s), coalesce(max(id), 0) FROM ballast.transfers RETURNING id
"""
_KEEP = """
WITH page AS (
    INSERT INTO ballast.provider_book AS known (provider, payment_id, seen_by, amount, currency, refunded, telegram_id,
                                                credited, paid_at)
    SELECT %s, l.payment_id, %s, l.amount, l.currency, l.refunded, l.telegram_id, l.credited, to_timestamp(l.paid_at)
      FROM json_to_recordset(%s) AS l (payment_id text, amount bigint, currency text, refunded bigint,
                                       telegram_id bigint, credited bigint, paid_at bigint)
        ON CONFLICT (provider, payment_id) DO UPDATE
       SET seen_by = greatest(known.seen_by, EXCLUDED.seen_by), amount = EXCLUDED.amount,
           currency = EXCLUDED.currency, refunded = EXCLUDED.refunded, telegram_id = EXCLUDED.telegram_id,
           credited = EXCLUDED.credited, paid_at = EXCLUDED.paid_at
    RETURNING 1
)
UPDATE ballast.provider_reconciliations
   SET payments = payments + (SELECT count(*) FROM page), handed_in = handed_in + %s
 WHERE id = %s RETURNING payments
"""
_FINISH = """
UPDATE ballast.provider_reconciliations SET finished_at = now() WHERE id = %s AND finished_at IS NULL RETURNING id
"""
_LAST = """
SELECT id, payments, handed_in, extract(epoch FROM since)::float8, extract(epoch FROM finished_at)::float8
  FROM ballast.provider_reconciliations WHERE provider = %s AND finished_at IS NOT NULL ORDER BY id DESC LIMIT 1
"""
# A payment that was made right where the reading begins may be dated a little earlier there.
_DIFFERENCES = f"""
WITH run AS (
    SELECT id, since, newest_transfer_id FROM ballast.provider_reconciliations
     WHERE provider = %s AND finished_at IS NOT NULL ORDER BY id DESC LIMIT 1
), theirs AS (
    SELECT b.*, run.newest_transfer_id FROM ballast.provider_book b, run WHERE b.provider = %s AND b.seen_by >= run.id
), ours AS (
    SELECT p.*, u.telegram_id FROM ballast.provider_payments p JOIN ballast.users u ON u.id = p.user_id
     WHERE p.provider = %s
), found AS (
    SELECT CASE WHEN t.credited IS NULL THEN 'not_as_asked' ELSE 'theirs_alone' END AS difference, t.payment_id,
           t.amount AS their_amount, t.refunded AS their_refunded, NULL::bigint AS our_amount,
           NULL::bigint AS our_refunded, t.currency, t.telegram_id AS their_telegram_id,
           NULL::bigint AS our_telegram_id, t.paid_at, t.credited IS NOT NULL AS is_bookable
      FROM theirs t WHERE NOT EXISTS (SELECT FROM ours o WHERE o.payment_id = t.payment_id)
    UNION ALL
    SELECT 'ours_alone', o.payment_id, NULL, NULL, o.paid, o.refunded, o.paid_currency, NULL, o.telegram_id, o.paid_at,
           false
      FROM ours o, run WHERE o.paid_at > run.since + interval '1 day' AND o.transfer_id <= run.newest_transfer_id
       AND NOT EXISTS (SELECT FROM theirs t WHERE t.payment_id = o.payment_id)
    UNION ALL
    SELECT d.difference, t.payment_id, t.amount, t.refunded, o.paid, o.refunded, t.currency, t.telegram_id,
           o.telegram_id, t.paid_at, d.difference = 'refund_theirs_alone'
      FROM theirs t JOIN ours o ON o.payment_id = t.payment_id, LATERAL (VALUES
           ('amounts_differ', (t.amount, t.currency) <> (o.paid, o.paid_currency) OR t.credited <> o.amount),
           ('payers_differ', t.telegram_id <> o.telegram_id),
           ('refund_theirs_alone', least(t.refunded, o.paid) > o.refunded),
           ('refund_ours_alone', EXISTS (
               SELECT FROM ballast.provider_refunds r WHERE r.provider_payment_id = o.id
                  AND r.refunded > t.refunded AND r.transfer_id <= t.newest_transfer_id))
           ) AS d (difference, is_so) WHERE d.is_so
    UNION ALL
    SELECT e.problem, coalesce(e.payment ->> 'payment_id', e.event_id), max((e.payment ->> 'paid')::bigint),
           max((e.payment ->> 'refunded')::bigint), NULL, NULL, max(e.payment ->> 'paid_currency'), NULL, NULL,
           min(e.created_at), false
      FROM ballast.provider_events e WHERE e.provider = %s AND e.problem IS NOT NULL
       AND NOT (e.problem = 'not_as_asked' AND EXISTS (
           SELECT FROM theirs t WHERE t.payment_id = e.payment ->> 'payment_id'))
     GROUP BY e.problem, coalesce(e.payment ->> 'payment_id', e.event_id)
)
SELECT f.*, a.actor AS accepted_by FROM found f LEFT JOIN ballast.provider_acceptances a
    ON a.provider = %s AND a.difference = f.difference AND a.payment_id = f.payment_id
 ORDER BY a.actor IS NOT NULL, f.paid_at, f.payment_id, f.difference LIMIT {SHOWN_MAX}
"""  # noqa: S608  our own number
_ACCEPT = """
WITH added AS (
    INSERT INTO ballast.provider_acceptances (provider, difference, payment_id, actor)
    SELECT %s, a.difference, a.payment_id, %s FROM unnest(%s::text[], %s::text[]) AS a (difference, payment_id)
        ON CONFLICT DO NOTHING RETURNING 1
) SELECT count(*) FROM added
"""


class ProviderDifferenceKind(StrEnum):
    THEIRS_ALONE = "theirs_alone"
    """A payment that the ledger does not have."""
    NOT_AS_ASKED = "not_as_asked"
    """A payment of another sum than its checkout asked for."""
    OURS_ALONE = "ours_alone"
    """A payment that the provider does not have."""
    AMOUNTS_DIFFER = "amounts_differ"
    PAYERS_DIFFER = "payers_differ"
    REFUND_THEIRS_ALONE = "refund_theirs_alone"
    """More was given back there than was taken back here."""
    REFUND_OURS_ALONE = "refund_ours_alone"
    """More was taken back here: such as of a refund that failed there later."""
    CONTRADICTED = "contradicted"
    """The provider said something else of it before."""
    REFUSED = "refused"
    """The ledger cannot hold it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A payment as its provider lists it. amount, refunded -- minor units of `currency`, the provider's.

    credited -- minor units that it is worth here; None if it is not what its checkout asked for.
    paid_at -- seconds since 1970.
    """

    payment_id: str
    amount: int
    currency: str
    refunded: int
    telegram_id: int
    credited: int | None
    paid_at: int


@dataclass(frozen=True, slots=True)
class ProviderReading:
    """One that was finished. handed_in -- payments and refunds that the ledger lacked, and that were given to the
    workers. Times are seconds since 1970.
    """

    id: int
    payments: int
    handed_in: int
    since: float
    finished_at: float


@dataclass(frozen=True, slots=True)
class ProviderDifference:
    """Where the provider's list and the ledger do not agree. None: that side does not have it, or does not say.

    Amounts are minor units of `currency`. is_bookable -- the ledger books it. accepted_by -- who takes it as it is.
    """

    kind: ProviderDifferenceKind
    payment_id: str
    their_amount: int | None
    their_refunded: int | None
    our_amount: int | None
    our_refunded: int | None
    currency: str | None
    their_telegram_id: int | None
    our_telegram_id: int | None
    made_at: datetime | None
    is_bookable: bool
    accepted_by: str | None


def begin(engine: GuardedEngine, provider: str, since: float) -> int:
    """A new reading; its number. since -- seconds since 1970, from when on payments are listed."""
    return int(engine.fetch_row(_BEGIN, (provider, since), name="provider_book.begin")[0])


def keep(engine: GuardedEngine, reading: int, provider: str, page: Sequence[Listed], handed_in: int) -> None:
    """A page of its list. handed_in -- how many of it the ledger lacked."""
    rows = json.dumps(storable_json([asdict(each) for each in page]))
    engine.fetch_row(_KEEP, (provider, reading, rows, handed_in, reading), name="provider_book.keep")


def finish(engine: GuardedEngine, reading: int) -> None:
    """All was listed."""
    engine.fetch_rows(_FINISH, (reading,), name="provider_book.finish")


def last(engine: GuardedEngine, provider: str) -> ProviderReading | None:
    rows = engine.fetch_rows(_LAST, (provider,), name="provider_book.last", writes=False)
    return ProviderReading(*rows[0]) if rows else None


def differences(engine: GuardedEngine, provider: str) -> list[ProviderDifference]:
    """Open ones first, at most SHOWN_MAX."""
    rows = engine.fetch_rows(_DIFFERENCES, (provider,) * 5, name="provider_book.differences", writes=False)
    return [ProviderDifference(ProviderDifferenceKind(kind), *rest) for kind, *rest in rows]


def accept(engine: GuardedEngine, provider: str, which: Sequence[ProviderDifference], actor: str) -> int:
    """Take these as they are; how many were not accepted before."""
    parameters = (provider, actor, [each.kind.value for each in which], [each.payment_id for each in which])
    return int(engine.fetch_row(_ACCEPT, parameters, name="provider_book.accept")[0])
