"""Undoes an import: for each transfer of the source one in the other direction, linked by its key and its memo.

Nobody's balance goes below zero: who has spent some of the money keeps all of it, and is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dbcore.guard.engine import GuardedEngine
from dbcore.importing.batches import BATCH_SECONDS_MAX, MOVEMENTS_MAX, PEOPLE_MAX, actor_of, run_batch
from dbcore.importing.booked_transfers import newest_id, windows
from dbcore.importing.booking_sql import BOOKED, JUDGED

# Ids within a window (booked_transfers.py), and at most PEOPLE_MAX of them at once.
_PAGE = """
SELECT t.id, u.telegram_id, a.version
  FROM (SELECT id, kind, from_account_id, to_account_id FROM ballast.transfers
         WHERE id > %s AND id <= %s AND actor = %s AND currency = %s AND idempotency_key NOT LIKE 'reversal:%%'
         ORDER BY id LIMIT %s) t
  JOIN ballast.accounts a ON a.id = CASE t.kind WHEN 'credit' THEN t.to_account_id ELSE t.from_account_id END
  JOIN ballast.users u ON u.id = a.user_id
 ORDER BY t.id
"""

# What adds to a balance goes first: so nothing lies below zero on the way that does not end there.
_WANTED = """
known AS (
    SELECT u.telegram_id, a.id AS account_id, a.balance, a.version, a.held, a.sending_frozen, a.receiving_frozen
      FROM (SELECT * FROM ballast.accounts WHERE id = ANY(%(account_ids)s::bigint[]) OFFSET 0) AS a
     CROSS JOIN LATERAL (SELECT u.telegram_id FROM ballast.users u WHERE u.id = a.user_id OFFSET 0) AS u
), posting AS (
    SELECT k.telegram_id, CASE WHEN e.amount < 0 THEN 0 ELSE 1 END AS part, -e.account_version AS place,
           now() AS made_at, 'reversal:' || t.idempotency_key AS key, -e.amount::numeric AS amount,
           'Reversal of transfer ' || t.id AS memo,
           CASE k.account_id WHEN t.from_account_id THEN t.to_account_id ELSE t.from_account_id END AS other_id
      FROM known k
     CROSS JOIN LATERAL (SELECT e.transfer_id, e.amount, e.account_version FROM ballast.entries e
                          WHERE e.account_id = k.account_id OFFSET 0) AS e
     CROSS JOIN LATERAL (SELECT t.id, t.idempotency_key, t.from_account_id, t.to_account_id
                           FROM ballast.transfers t
                          WHERE t.id = e.transfer_id AND t.actor = %(actor)s OFFSET 0) AS t
     WHERE t.idempotency_key NOT LIKE 'reversal:%%'
       AND (SELECT r.id FROM ballast.transfers r
             WHERE r.idempotency_key = 'reversal:' || t.idempotency_key) IS NULL
)"""
_RESULT = """
SELECT j.telegram_id, k.balance, j.postings, j.amount::bigint, j.reason
  FROM judged j JOIN known k USING (telegram_id) ORDER BY j.telegram_id
"""
_DRY_RUN = f"WITH {_WANTED}, {JUDGED} {_RESULT}"
_UNDO = f"WITH {_WANTED}, {JUDGED}, {BOOKED} {_RESULT}"


@dataclass(frozen=True, slots=True)
class Undone:
    """Of one person. balance -- before it. amount -- signed minor units taken back. refused -- why nothing was."""

    telegram_id: int
    balance: int
    transfers: int
    amount: int
    refused: str | None


class Undoer:
    """dry -- only say what would be reversed. last -- the newest transfer's id when it began."""

    def __init__(self, engine: GuardedEngine, source: str, *, dry: bool) -> None:
        self._engine = engine
        self._source = source
        self._dry = dry
        self.last = newest_id(engine)

    def run(self) -> Iterator[tuple[int, int, list[Undone]]]:
        """Page by page: up to which id transfers were read, how many of them are of the source, and what was undone.
        Again, it does what is left.
        """
        seen: set[int] = set()
        for after, upto in windows(self.last):
            position = after
            while position < upto:
                rows = self._page(position, upto)
                position = rows[-1][0] if len(rows) == PEOPLE_MAX else upto
                people = {telegram_id: version for _, telegram_id, version in rows if telegram_id not in seen}
                seen.update(people)
                undone = [each for batch in _batches(people) for each in self._undo(batch)]
                yield position, len(rows), undone

    def _page(self, after: int, upto: int) -> list[tuple[int, int, int]]:
        """Id of a transfer, whose it is, and how many entries they have."""
        rows = self._engine.fetch_rows(
            _PAGE,
            (after, upto, actor_of(self._source), self._engine.currency, PEOPLE_MAX),
            name="import.page",
            writes=False,
            deadline_seconds=BATCH_SECONDS_MAX,
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def _undo(self, people: Sequence[int]) -> list[Undone]:
        rows = run_batch(
            self._engine,
            self._source,
            {"telegram_ids": sorted(people)},
            name="import.undo",
            dry_run=_DRY_RUN if self._dry else None,
            prepare=lambda _: None,
            book=_UNDO,
        )
        return [Undone(*row) for row in rows]


def _batches(people: dict[int, int]) -> Iterator[list[int]]:
    """So that a batch's people have about MOVEMENTS_MAX entries together at most.

    people -- how many entries each has.
    """
    batch: list[int] = []
    entries = 0
    for telegram_id, count in people.items():
        if batch and entries + count > MOVEMENTS_MAX:
            yield batch
            batch, entries = [], 0
        batch.append(telegram_id)
        entries += count
    if batch:
        yield batch
