"""Takes back what a source brought: for each of its transfers one the other way, linked by its key and its memo.

Nobody's balance goes below zero: who has spent some of it keeps all of it, and is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from dbcore.engine import GuardedEngine
from dbcore.importing.booking import (
    ACCOUNT_IDS,
    BATCH_SECONDS_MAX,
    BOOKED,
    JUDGED,
    LOCK,
    MAX_BALANCE,
    PLANNED,
    actor_of,
)
from dbcore.money import MAX_AMOUNT
from dbcore.qualified_names import qualified

TRANSFERS_AT_ONCE = 1_000

_COUNT = "SELECT count(*), coalesce(max(id), 0) FROM ballast.transfers WHERE actor = %s AND currency = %s"
_PAGE = """
SELECT t.id, u.telegram_id
  FROM (SELECT id, kind, from_account_id, to_account_id FROM ballast.transfers
         WHERE id > %s AND actor = %s AND currency = %s ORDER BY id LIMIT %s) t
  JOIN ballast.accounts a ON a.id = CASE t.kind WHEN 'credit' THEN t.to_account_id ELSE t.from_account_id END
  JOIN ballast.users u ON u.id = a.user_id
 ORDER BY t.id
"""

# What adds to a balance goes first: so nothing lies below zero on the way that does not end there.
_WANTED = """
known AS (
    SELECT u.telegram_id, a.id AS account_id, a.balance, a.version, a.floor
      FROM (SELECT * FROM ballast.accounts WHERE id = ANY(%(account_ids)s::bigint[]) OFFSET 0) AS a
     CROSS JOIN LATERAL (SELECT u.telegram_id FROM ballast.users u WHERE u.id = a.user_id OFFSET 0) AS u
), posting AS (
    SELECT k.telegram_id, CASE WHEN e.amount < 0 THEN 0 ELSE 1 END AS part, -e.account_version AS place,
           now() AS made_at, 'reversal:' || t.idempotency_key AS key, -e.amount AS amount,
           'Reversal of transfer ' || t.id AS memo
      FROM known k
     CROSS JOIN LATERAL (SELECT e.transfer_id, e.amount, e.account_version FROM ballast.entries e
                          WHERE e.account_id = k.account_id OFFSET 0) AS e
     CROSS JOIN LATERAL (SELECT t.id, t.idempotency_key FROM ballast.transfers t
                          WHERE t.id = e.transfer_id AND t.actor = %(actor)s OFFSET 0) AS t
     WHERE t.idempotency_key NOT LIKE 'reversal:%%'
       AND (SELECT r.id FROM ballast.transfers r
             WHERE r.idempotency_key = 'reversal:' || t.idempotency_key) IS NULL
)"""
_FOUND = """
SELECT j.telegram_id, k.balance, j.postings, j.amount, j.reason
  FROM judged j JOIN known k USING (telegram_id) ORDER BY j.telegram_id
"""
_PLAN = f"WITH {_WANTED}, {JUDGED} {_FOUND}"
_UNDO = f"WITH {_WANTED}, {JUDGED}, {BOOKED} {_FOUND}"


@dataclass(frozen=True, slots=True)
class Undone:
    """Of one person. balance -- before it. amount -- signed minor units taken back. refused -- why nothing was."""

    telegram_id: int
    balance: int
    transfers: int
    amount: int
    refused: str | None


class Undoer:
    """dry -- only say what would be reversed."""

    def __init__(self, engine: GuardedEngine, source: str, *, dry: bool) -> None:
        self._engine = engine
        self._source = source
        self._dry = dry
        self.total, self._last = engine.fetch_row(
            _COUNT,
            (actor_of(source), engine.currency),
            name="import.count",
            writes=False,
            deadline_seconds=BATCH_SECONDS_MAX,
        )
        """Transfers of the source, reversals among them."""

    def run(self) -> Iterator[tuple[int, list[Undone]]]:
        """Batch by batch: how many of `total` were looked at, and whom it concerns. Again, it does what is left."""
        after = 0
        seen: set[int] = set()
        while after < self._last:
            rows = self._engine.fetch_rows(
                _PAGE,
                (after, actor_of(self._source), self._engine.currency, TRANSFERS_AT_ONCE),
                name="import.page",
                writes=False,
            )
            if not rows:
                return
            after = rows[-1][0]
            people = sorted({telegram_id for _, telegram_id in rows} - seen)
            seen.update(people)
            yield len(rows), self._undo(people) if people else []

    def _undo(self, people: list[int]) -> list[Undone]:
        parameters = {
            "telegram_ids": people,
            "currency": self._engine.currency,
            "actor": actor_of(self._source),
            "amount_max": MAX_AMOUNT,
            "balance_max": MAX_BALANCE,
        }
        return self._engine.call(
            lambda connection: self._batch(connection, parameters),
            name="import.undo",
            replayable=True,
            writes=not self._dry,
            deadline_seconds=BATCH_SECONDS_MAX,
        )

    def _batch(self, connection: Connection, parameters: dict[str, Any]) -> list[Undone]:
        def run(statement: str) -> Any:
            return connection.exec_driver_sql(qualified(statement, self._engine.schema), parameters)

        run(PLANNED)
        parameters["account_ids"] = [row[0] for row in run(ACCOUNT_IDS)]
        if self._dry:
            return [Undone(*row) for row in run(_PLAN)]
        run(LOCK)
        return [Undone(*row) for row in run(_UNDO)]
