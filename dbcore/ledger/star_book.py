"""Telegram's book of the bot's Stars, copied page by page, and how it differs from the ledger's.

    begin() ──▶ keep() a page, and the cursor with it ──▶ … ──▶ finish() with Telegram's balance
                       └─ killed in between: begin() returns the same reading, and its cursor

The differences are found by one query whenever they are asked for, from the last reading that was finished: so one that
is booked since is none any more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from dbcore.qualified_names import qualified
from dbcore.text import storable_json

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dbcore.guard.engine import GuardedEngine

NANOSTARS = 10**9
"""Of one Star."""

SHOWN_MAX = 10_000
"""Differences that are read at once."""

_BEGIN = """
WITH made AS (
    INSERT INTO ballast.star_reconciliations (newest_transfer_id) SELECT coalesce(max(id), 0) FROM ballast.transfers
        ON CONFLICT ((finished_at IS NULL)) WHERE finished_at IS NULL DO NOTHING
    RETURNING id, next_offset
)
SELECT id, next_offset FROM made
UNION ALL SELECT id, next_offset FROM ballast.star_reconciliations WHERE finished_at IS NULL
LIMIT 1
"""
# Whoever moves the cursor keeps the page. Somebody else's second copy of it changes nothing.
_KEEP = """
WITH moved AS (
    UPDATE ballast.star_reconciliations SET next_offset = next_offset + %s
     WHERE id = %s AND next_offset = %s AND finished_at IS NULL RETURNING id
), page AS (
    INSERT INTO ballast.star_book AS known (id, is_outgoing, stars, nanostars, purpose, telegram_id, invoice_amount,
                                            details, made_at, found_by, seen_by)
    SELECT t.id, t.is_outgoing, t.stars, t.nanostars, t.purpose, t.telegram_id, t.invoice_amount, t.details,
           to_timestamp(t.date), moved.id, moved.id
      FROM json_to_recordset(%s) AS t (id text, is_outgoing boolean, stars bigint, nanostars bigint, purpose text,
                                       telegram_id bigint, invoice_amount bigint, details jsonb, date bigint), moved
        ON CONFLICT (id, is_outgoing) DO UPDATE
       SET stars = EXCLUDED.stars, nanostars = EXCLUDED.nanostars, purpose = EXCLUDED.purpose,
           telegram_id = EXCLUDED.telegram_id, invoice_amount = EXCLUDED.invoice_amount, details = EXCLUDED.details,
           made_at = EXCLUDED.made_at, seen_by = EXCLUDED.seen_by
    RETURNING 1
)
SELECT EXISTS (SELECT FROM moved), (SELECT count(*) FROM page)
"""
_FINISH = """
UPDATE ballast.star_reconciliations SET finished_at = now(), stars = %s, nanostars = %s
 WHERE id = %s AND finished_at IS NULL RETURNING id
"""
_NOTE_HANDED_IN = "UPDATE ballast.star_reconciliations SET handed_in = %s WHERE id = %s"
_LAST = """
SELECT id, stars, nanostars, handed_in, extract(epoch FROM started_at)::float8,
       extract(epoch FROM finished_at)::float8, next_offset
  FROM ballast.star_reconciliations WHERE finished_at IS NOT NULL ORDER BY id DESC LIMIT 1
"""
_MOVEMENTS = """
SELECT b.purpose, b.is_outgoing, count(*), sum(b.stars)::bigint, sum(b.nanostars)::bigint
  FROM ballast.star_book b, (SELECT max(id) AS id FROM ballast.star_reconciliations WHERE finished_at IS NOT NULL) run
 WHERE b.seen_by >= run.id AND b.found_by <= run.id GROUP BY b.purpose, b.is_outgoing ORDER BY b.purpose, b.is_outgoing
"""
_ACCEPT = """
WITH added AS (
    INSERT INTO ballast.star_acceptances (difference, charge_id, actor)
    SELECT a.difference, a.charge_id, %s FROM unnest(%s::text[], %s::text[]) AS a (difference, charge_id)
        ON CONFLICT DO NOTHING RETURNING 1
) SELECT count(*) FROM added
"""

# A payment by no invoice of this bot is known if its report is in payment_events: the admins were told then, and no
# balance has changed. One that nobody reported is a difference.
DIFFERENCES = """
WITH run AS (
    SELECT id, newest_transfer_id, stars::numeric * 1000000000 + nanostars AS balance
      FROM ballast.star_reconciliations WHERE finished_at IS NOT NULL ORDER BY id DESC LIMIT 1
), theirs AS (
    SELECT b.* FROM ballast.star_book b, run WHERE b.seen_by >= run.id AND b.found_by <= run.id
), ours AS (
    SELECT p.charge_id, p.stars, p.paid_at, p.transfer_id, p.refund_transfer_id, p.refunded_at, u.telegram_id
      FROM ballast.star_payments p JOIN ballast.users u ON u.id = p.user_id
), found AS (
    SELECT 'theirs_alone' AS difference, t.id AS charge_id, t.stars AS their_stars, t.nanostars AS their_nanostars,
           NULL::bigint AS our_stars, t.telegram_id AS their_telegram_id, NULL::bigint AS our_telegram_id, t.made_at,
           t.invoice_amount IS NOT NULL AS is_bookable
      FROM theirs t WHERE t.purpose = 'payment'
       AND NOT EXISTS (SELECT FROM ballast.star_payments o WHERE o.charge_id = t.id)
       AND (t.invoice_amount IS NOT NULL OR NOT EXISTS (
            SELECT FROM ballast.payment_events e WHERE e.charge_id = t.id AND e.kind = 'paid' AND e.amount = t.stars))
    UNION ALL
    SELECT 'refund_theirs_alone', t.id, t.stars, t.nanostars, o.stars, t.telegram_id, o.telegram_id, t.made_at,
           t.invoice_amount IS NOT NULL
      FROM theirs t LEFT JOIN ours o ON o.charge_id = t.id WHERE t.purpose = 'refund' AND o.refund_transfer_id IS NULL
       AND (t.invoice_amount IS NOT NULL OR NOT EXISTS (
            SELECT FROM ballast.payment_events e WHERE e.charge_id = t.id AND e.kind = 'refunded'
            AND e.amount = t.stars))
    UNION ALL
    SELECT 'ours_alone', o.charge_id, NULL, NULL, o.stars, NULL, o.telegram_id, o.paid_at, false
      FROM ours o, run WHERE o.transfer_id <= run.newest_transfer_id
       AND NOT EXISTS (SELECT FROM theirs t WHERE t.id = o.charge_id AND NOT t.is_outgoing)
    UNION ALL
    SELECT 'refund_ours_alone', o.charge_id, NULL, NULL, o.stars, NULL, o.telegram_id, o.refunded_at, false
      FROM ours o, run WHERE o.refund_transfer_id <= run.newest_transfer_id
       AND NOT EXISTS (SELECT FROM theirs t WHERE t.id = o.charge_id AND t.is_outgoing)
    UNION ALL
    SELECT CASE WHEN t.is_outgoing THEN 'refund_amounts_differ' ELSE 'amounts_differ' END, t.id, t.stars, t.nanostars,
           o.stars, t.telegram_id, o.telegram_id, t.made_at, false
      FROM theirs t JOIN ours o ON o.charge_id = t.id WHERE t.stars <> o.stars OR t.nanostars <> 0
    UNION ALL
    SELECT 'payers_differ', t.id, t.stars, t.nanostars, o.stars, t.telegram_id, o.telegram_id, t.made_at, false
      FROM theirs t JOIN ours o ON o.charge_id = t.id WHERE NOT t.is_outgoing AND t.telegram_id <> o.telegram_id
    UNION ALL
    SELECT 'balance_differs', trim_scale((run.balance - s.total) / 1000000000)::text,
           div(run.balance, 1000000000)::bigint, mod(run.balance, 1000000000)::bigint,
           div(s.total, 1000000000)::bigint, NULL, NULL, NULL, false
      FROM run, (SELECT coalesce(sum(CASE WHEN is_outgoing THEN -1 ELSE 1 END
                                     * (stars::numeric * 1000000000 + nanostars)), 0) AS total FROM theirs) s
     WHERE run.balance <> s.total
)
SELECT f.*, a.actor AS accepted_by FROM found f
  LEFT JOIN ballast.star_acceptances a ON a.difference = f.difference AND a.charge_id = f.charge_id
"""
OPEN_DIFFERENCES = f"""
SELECT format('%s %s: Telegram %s Stars, ours %s', d.difference, d.charge_id, coalesce(d.their_stars::text, 'none'),
              coalesce(d.our_stars::text, 'none'))
  FROM ({DIFFERENCES}) d WHERE d.accepted_by IS NULL ORDER BY d.made_at, d.charge_id
"""  # noqa: S608  our own text
"""One text a difference that nobody accepted, for the audit."""

_ALL = f"""
SELECT d.difference, d.charge_id, d.their_stars, d.their_nanostars, d.our_stars, d.their_telegram_id,
       d.our_telegram_id, d.made_at, d.is_bookable, d.accepted_by
  FROM ({DIFFERENCES}) d ORDER BY d.accepted_by IS NOT NULL, d.made_at, d.charge_id, d.difference LIMIT {SHOWN_MAX}
"""  # noqa: S608
_BOOKABLE = f"""
SELECT d.difference = 'refund_theirs_alone', b.details FROM ({DIFFERENCES}) d
  JOIN ballast.star_book b ON b.id = d.charge_id AND b.is_outgoing = (d.difference = 'refund_theirs_alone')
 WHERE d.is_bookable AND d.accepted_by IS NULL ORDER BY d.made_at LIMIT {SHOWN_MAX}
"""  # noqa: S608


class DifferenceKind(StrEnum):
    THEIRS_ALONE = "theirs_alone"
    """A payment that the ledger does not have."""
    REFUND_THEIRS_ALONE = "refund_theirs_alone"
    OURS_ALONE = "ours_alone"
    """A payment that Telegram does not have."""
    REFUND_OURS_ALONE = "refund_ours_alone"
    AMOUNTS_DIFFER = "amounts_differ"
    """Also if Telegram's has a fraction of a Star."""
    REFUND_AMOUNTS_DIFFER = "refund_amounts_differ"
    PAYERS_DIFFER = "payers_differ"
    BALANCE_DIFFERS = "balance_differs"
    """Telegram's balance is not the sum of its transactions. `charge_id` is by how many Stars."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """A line of Telegram's book.

    purpose -- `payment`, `refund`, or what else moved the Stars. telegram_id -- the payer, if there is one.
    invoice_amount -- minor units that it is booked as, if it was paid by an invoice of this bot.
    details -- Telegram's object, whole. date -- seconds since 1970.
    """

    id: str
    is_outgoing: bool
    stars: int
    nanostars: int
    purpose: str
    telegram_id: int | None
    invoice_amount: int | None
    details: dict[str, Any]
    date: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One that is under way. offset -- how many transactions it has kept."""

    id: int
    offset: int


@dataclass(frozen=True, slots=True)
class FinishedReading:
    """stars, nanostars -- Telegram's balance. handed_in -- payments and refunds that the ledger lacked, and that were
    given to the workers. Times are seconds since 1970.
    """

    id: int
    stars: int
    nanostars: int
    handed_in: int
    started_at: float
    finished_at: float
    transactions: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Where Telegram's book and the ledger do not agree. None: that side does not have it.

    is_bookable -- the ledger books it by its charge ID. accepted_by -- who takes it as it is.
    """

    kind: DifferenceKind
    charge_id: str
    their_stars: int | None
    their_nanostars: int | None
    our_stars: int | None
    their_telegram_id: int | None
    our_telegram_id: int | None
    made_at: datetime | None
    is_bookable: bool
    accepted_by: str | None


@dataclass(frozen=True, slots=True)
class Movement:
    """All of Telegram's transactions of one purpose and direction."""

    purpose: str
    is_outgoing: bool
    count: int
    stars: int
    nanostars: int


def begin(engine: GuardedEngine) -> Reading:
    """The reading that is under way, or a new one."""
    while True:
        rows = engine.fetch_rows(_BEGIN, name="star_book.begin")
        if rows:
            return Reading(*rows[0])
        # Somebody else began one, and this statement could not see it yet.


def keep(engine: GuardedEngine, reading: Reading, page: Sequence[Transaction]) -> Reading | None:
    """Keep a page and move the cursor behind it, in one transaction. None if somebody else did so, or has finished."""
    rows = [{name: getattr(each, name) for name in Transaction.__slots__} for each in page]
    moved, _ = engine.fetch_row(
        _KEEP,
        (len(page), reading.id, reading.offset, json.dumps(storable_json(rows))),
        name="star_book.keep",
    )
    return Reading(reading.id, reading.offset + len(page)) if moved else None


def finish(connection: Connection, schema: str | None, reading: Reading, stars: int, nanostars: int) -> bool:
    """In the connection's transaction: False if it was finished already."""
    done = connection.exec_driver_sql(qualified(_FINISH, schema), (stars, nanostars, reading.id))
    return done.first() is not None


def bookable(connection: Connection, schema: str | None) -> list[tuple[bool, dict[str, Any]]]:
    """Of what the ledger lacks and can book: whether it is a refund, and Telegram's transaction."""
    return [(row[0], row[1]) for row in connection.exec_driver_sql(qualified(_BOOKABLE, schema))]


def note_handed_in(connection: Connection, schema: str | None, reading: Reading, count: int) -> None:
    connection.exec_driver_sql(qualified(_NOTE_HANDED_IN, schema), (count, reading.id))


def last(engine: GuardedEngine) -> FinishedReading | None:
    rows = engine.fetch_rows(_LAST, name="star_book.last", writes=False)
    return FinishedReading(*rows[0]) if rows else None


def differences(engine: GuardedEngine) -> list[Difference]:
    """Open ones first, at most SHOWN_MAX."""
    rows = engine.fetch_rows(_ALL, name="star_book.differences", writes=False)
    return [Difference(DifferenceKind(kind), *rest) for kind, *rest in rows]


def movements(engine: GuardedEngine) -> list[Movement]:
    """What Telegram's book consists of."""
    return [Movement(*row) for row in engine.fetch_rows(_MOVEMENTS, name="star_book.movements", writes=False)]


def accept(engine: GuardedEngine, which: Sequence[Difference], actor: str) -> int:
    """Take these as they are; how many were not accepted before."""
    parameters = (actor, [each.kind.value for each in which], [each.charge_id for each in which])
    return int(engine.fetch_row(_ACCEPT, parameters, name="star_book.accept")[0])
