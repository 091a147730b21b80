"""The table `events`: what a program outside is to be told. The migrations' triggers write it, in the transaction that
an event is about, while `want` says so; whoever sends them reads `due` and reports by `settle`.

Events of one lane, which is a person's Telegram id or 0, are due one after the other, in the order of their commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine

RETRY_SECONDS_MIN = 5
RETRY_SECONDS_MAX = 900
"""Between tries: doubled each time, from the one to the other."""

PRUNED_AT_ONCE = 500

_WANT = (
    "WITH wanted AS (INSERT INTO ballast.events_wanted (id) SELECT 1 WHERE %s ON CONFLICT DO NOTHING RETURNING 1), "
    "unwanted AS (DELETE FROM ballast.events_wanted WHERE NOT %s RETURNING 1) "
    "SELECT (SELECT count(*) FROM wanted) + (SELECT count(*) FROM unwanted)"
)
_DUE = """
SELECT e.id, e.kind, e.data, e.attempts, e.created_at FROM ballast.events e
 WHERE e.next_attempt_at <= now()
   AND NOT EXISTS (SELECT FROM ballast.events before WHERE before.lane = e.lane AND before.id < e.id)
 ORDER BY e.id LIMIT %s FOR UPDATE OF e
"""
_SETTLE = f"""
WITH sent AS (DELETE FROM ballast.events WHERE id = ANY(%s::bigint[]) RETURNING 1),
     failed AS (UPDATE ballast.events SET attempts = attempts + 1, next_attempt_at = now() + make_interval(
                    secs => least({RETRY_SECONDS_MAX}, {RETRY_SECONDS_MIN} * 2 ^ least(attempts, 10)))
                 WHERE id = ANY(%s::bigint[]) RETURNING 1)
SELECT (SELECT count(*) FROM sent), (SELECT count(*) FROM failed)
"""  # noqa: S608  our own numbers
_PRUNE = (
    "WITH gone AS (DELETE FROM ballast.events WHERE id IN (SELECT id FROM ballast.events "
    "WHERE created_at < now() - make_interval(days => %s) ORDER BY created_at LIMIT %s) RETURNING 1) "
    "SELECT count(*) FROM gone"
)


@dataclass(frozen=True, slots=True)
class Event:
    """kind -- such as `balance.changed`. attempts -- how often it was sent in vain."""

    id: int
    kind: str
    data: dict[str, Any]
    attempts: int
    created_at: datetime


def want(engine: GuardedEngine, wanted: bool) -> bool:
    """Have events written from now on, or no more; whether that is a change."""
    (changed,) = engine.fetch_row(_WANT, (wanted, wanted), name="events.want")
    return bool(changed)


def due(engine: GuardedEngine, limit: int) -> list[Event]:
    """The first of each lane, if its time has come; the oldest first. It locks them until the statement ends: what a
    read-only server could not forget is not handed out again and again.
    """
    return [Event(*row) for row in engine.fetch_rows(_DUE, (limit,), name="events.due")]


def settle(engine: GuardedEngine, *, sent: Sequence[int], failed: Sequence[int]) -> None:
    """Forget those that were taken; try the others again later, each time after longer."""
    engine.fetch_row(_SETTLE, ([*sent], [*failed]), name="events.settle")


def prune(engine: GuardedEngine, days: int) -> int:
    """Forget the oldest of those that nobody took for so long; how many they were."""
    (count,) = engine.fetch_row(_PRUNE, (days, PRUNED_AT_ONCE), name="events.prune")
    return int(count)
