"""Rows that are removed once they are old, by settings, in small steps. docs/retention.md says which, and why those of
the ledger never are.

A step is one statement of some hundred rows, in a transaction of its own behind the guard. Between two steps the
database has as long to itself as the last one took.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbcore import events, failed_operations, probes
from dbcore.broadcasts import deliveries
from dbcore.guard import effects
from dbcore.ledger import provider_payments

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine
    from dbcore.settings import Settings

SECONDS_MAX = 2.0
"""A call goes on for so long where much is old. Once a minute that is some 100,000 rows."""

Remove = Callable[["GuardedEngine", int], int]


@dataclass(frozen=True, slots=True)
class Rule:
    """remove -- the oldest ones of what is older than so many days; returns how many it were.
    keep_days -- None: forever.
    """

    remove: Remove
    keep_days: int | None


TABLES = (
    "health_probes",
    "effects",
    "broadcast_deliveries",
    "failed_operations",
    "events",
    "provider_events",
)


def rules(settings: Settings) -> dict[str, Rule]:
    """By their tables."""
    return {
        "health_probes": Rule(probes.prune, settings.health_probes_keep_days),
        "effects": Rule(effects.prune, settings.effects_keep_days),
        "broadcast_deliveries": Rule(
            lambda engine, _: deliveries.forget_old(engine), settings.deliveries_keep_days
        ),
        "failed_operations": Rule(failed_operations.prune, settings.failed_jobs_keep_days),
        "events": Rule(events.prune, settings.events_keep_days),
        "provider_events": Rule(provider_payments.prune, settings.provider_events_keep_days),
    }


def prune(engine: GuardedEngine, by: dict[str, Rule], *, seconds_max: float = SECONDS_MAX) -> dict[str, int]:
    """Remove what is too old, a step of each table by turns, until nothing is or the time is over; how many of which.

    Raises like any call where the database gives no answer.
    """
    removed: Counter[str] = Counter()
    left = {table: (rule.remove, rule.keep_days) for table, rule in by.items() if rule.keep_days is not None}
    until = time.monotonic() + seconds_max
    while left:
        for table, (remove, days) in [*left.items()]:
            started = time.monotonic()
            count = remove(engine, days)
            removed[table] += count
            ended = time.monotonic()
            if ended >= until:
                return dict(+removed)
            if count == 0:
                del left[table]
            else:
                time.sleep(min(ended - started, until - ended))
    return dict(+removed)


_OLDEST = """
SELECT extract(epoch FROM now() - (SELECT min(created_at) FROM ballast.health_probes))::float8,
       extract(epoch FROM now() - (SELECT min(created_at) FROM ballast.effects))::float8,
       extract(epoch FROM now() - (SELECT min(finished_at) FROM ballast.broadcasts WHERE deliveries_kept))::float8,
       extract(epoch FROM now() - (SELECT min(resolved_at) FROM ballast.failed_operations))::float8,
       extract(epoch FROM now() - (SELECT min(created_at) FROM ballast.events))::float8,
       extract(epoch FROM now() - (SELECT min(created_at) FROM ballast.provider_events WHERE problem IS NULL))::float8
"""


def oldest(engine: GuardedEngine) -> dict[str, float]:
    """How old the oldest row of each table is that has one, in seconds: of deliveries since their broadcast ended, of
    failed jobs since somebody dealt with them.
    """
    row = engine.fetch_row(_OLDEST, (), name="retention.oldest", writes=False)
    return {table: seconds for table, seconds in zip(TABLES, row, strict=True) if seconds is not None}
