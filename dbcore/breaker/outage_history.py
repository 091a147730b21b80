"""The outages of the last weeks, and for which part of the time there was none: for the pages and the command line.

ballast:outages:table   string   as JSON the newest rows of the table `outages` as they were when the database answered,
                                 and since when there are users: since then the bot is in use

The table outlives Redis, and Redis answers while the database does not: `copy_table` brings the one to the other, and
`read` puts both together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import redis

from dbcore.breaker import outages
from dbcore.breaker.outages import Outage
from dbcore.breaker.state import FleetState
from dbcore.breaker.store import read_state

if TYPE_CHECKING:  # whoever only looks needs no SQLAlchemy
    from dbcore.guard.engine import GuardedEngine

ROWS_MAX = 200
"""About 60 kB in Redis."""

UPTIME_HOURS = (24, 7 * 24, 30 * 24)

_TABLE = "ballast:outages:table"

_COPY = """
SELECT (SELECT extract(epoch FROM created_at)::float8 FROM ballast.users ORDER BY id LIMIT 1),
       coalesce((SELECT jsonb_agg(newest) FROM (
           SELECT outage_id AS id, extract(epoch FROM o.began_at)::float8 AS began_at,
                  extract(epoch FROM o.ended_at)::float8 AS ended_at, o.reason, o.paused_by, o.failed_probes,
                  o.jobs_waited, o.longest_wait_seconds, extract(epoch FROM o.failed_at)::float8 AS failed_at,
                  extract(epoch FROM o.drained_at)::float8 AS drained_at
             FROM ballast.outages AS o ORDER BY o.began_at DESC LIMIT %s) AS newest), '[]')
"""


@dataclass(frozen=True, slots=True)
class Uptime:
    """Of the last `hours`, or of the part of them that is known.

    measured_seconds -- how long that part is. down_seconds -- of outages in it; share -- of the part, without outage.
    paused_seconds -- of operators' pauses, which do not count as outages. outages -- how many were on in it.
    """

    hours: int
    measured_seconds: float
    share: float
    down_seconds: float
    paused_seconds: float
    outages: int

    @property
    def percent(self) -> str:
        """Rounded down: only what had no outage at all has 100%."""
        return f"{math.floor(10_000 * self.share) / 100:.2f}%" if self.share < 1 else "100%"


@dataclass(frozen=True, slots=True)
class OutageHistory:
    """outages -- newest first, the one that is on among them; `ended_at` is None there.
    now -- seconds since 1970 on Redis's clock, as all times. since -- what was before is not known; None: nothing is.
    """

    outages: tuple[Outage, ...]
    now: float
    since: float | None

    @property
    def uptimes(self) -> tuple[Uptime, ...]:
        """For UPTIME_HOURS; none where nothing is known."""
        found = (uptime(self.outages, self.now, self.since, hours) for hours in UPTIME_HOURS)
        return tuple(each for each in found if each is not None)


def copy_table(client: redis.Redis, engine: GuardedEngine) -> None:
    """Raises redis.RedisError, and like any call where the database gives no answer."""
    since, rows = engine.fetch_row(_COPY, (ROWS_MAX,), name="outages.copy", writes=False)
    if len(rows) == ROWS_MAX:
        since = rows[-1]["began_at"]
    client.set(_TABLE, json.dumps({"since": since, "outages": rows}))


def read(client: redis.Redis) -> OutageHistory:
    """What Redis has: of the table as of the last `copy_table`. Raises redis.RedisError, StateUnreadable."""
    return history_of(client, *read_state(client))


def history_of(client: redis.Redis, fleet: FleetState, now: float) -> OutageHistory:
    """The same for whoever has read the breaker's state just now."""
    kept = cast("bytes | None", client.get(_TABLE))
    table = {"since": None, "outages": []} if kept is None else json.loads(kept)
    recent = outages.read(client, fleet, now)
    written = [outages.outage_of(row) for row in table["outages"]]
    return OutageHistory(_merged(recent, written), now, table["since"])


def uptime(outages: Iterable[Outage], now: float, since: float | None, hours: int) -> Uptime | None:
    """None where nothing of the time is known."""
    if since is None or since >= now:
        return None
    begin = max(since, now - 3600 * hours)
    down = paused = 0.0
    count = 0
    for outage in outages:
        seconds = min(outage.ended_at or now, now) - max(outage.began_at, begin)
        if seconds < 0 or (outage.ended_at is not None and outage.ended_at <= begin):
            continue
        if outage.is_pause:
            paused += seconds
        else:
            down += seconds
            count += 1
    measured = now - begin
    return Uptime(hours, measured, max(0.0, 1 - down / measured), down, paused, count)


def _merged(recent: Iterable[Outage], written: Iterable[Outage]) -> tuple[Outage, ...]:
    """Redis knows of its own ones more: what waits to be written, and how many jobs are left."""
    by_id = {outage.id: outage for outage in written} | {outage.id: outage for outage in recent}
    return tuple(sorted(by_id.values(), key=lambda outage: -outage.began_at))
