"""What imports have booked, found by the actor `import:SOURCE`. No index has it, so `transfers` is read in windows of
ids: each query has a bounded size, and keeps its deadline in a table of any size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dbcore.guard.engine import GuardedEngine
from dbcore.importing.batches import BATCH_SECONDS_MAX, actor_of

WINDOW_IDS = 500_000

_NEWEST = "SELECT coalesce(max(id), 0) FROM ballast.transfers"
_SOURCES = """
SELECT substr(actor, 8), min(id) FROM ballast.transfers
 WHERE id > %s AND id <= %s AND actor LIKE 'import:%%' GROUP BY actor ORDER BY 2
"""
# Each of these transfers is between a system account and one person. The audit proves that its entries agree with it.
_SUM = """
SELECT coalesce(sum(CASE kind WHEN 'credit' THEN amount ELSE -amount END), 0) FROM ballast.transfers
 WHERE id > %s AND id <= %s AND actor = %s AND currency = %s AND status = 'applied'
"""


@dataclass(frozen=True, slots=True)
class Sources:
    """Other sources that have something booked, up to where the one that was asked for was found.

    is_known -- it has something booked. is_first -- nothing was booked for another one before.
    """

    is_known: bool
    others: tuple[str, ...]

    @property
    def is_first(self) -> bool:
        return not self.others


def newest_id(engine: GuardedEngine) -> int:
    """Of all transfers; 0 if there are none."""
    (newest,) = engine.fetch_row(_NEWEST, name="import.newest", writes=False)
    return int(newest)


def windows(last: int) -> Iterator[tuple[int, int]]:
    """Ids above the first number, up to the second."""
    for after in range(0, last, WINDOW_IDS):
        yield after, min(after + WINDOW_IDS, last)


def find_sources(engine: GuardedEngine, source: str) -> Sources:
    others: dict[str, None] = {}
    for window in windows(newest_id(engine)):
        for found, _ in engine.fetch_rows(
            _SOURCES, window, name="import.sources", writes=False, deadline_seconds=BATCH_SECONDS_MAX
        ):
            if found == source:
                return Sources(is_known=True, others=tuple(others))
            others[found] = None
    return Sources(is_known=False, others=tuple(others))


def ledger_sum(engine: GuardedEngine, source: str) -> int:
    """Minor units that this source has had booked, reversals counted, over all people."""
    return sum(
        int(
            engine.fetch_row(
                _SUM,
                (*window, actor_of(source), engine.currency),
                name="import.sum",
                writes=False,
                deadline_seconds=BATCH_SECONDS_MAX,
            )[0]
        )
        for window in windows(newest_id(engine))
    )
