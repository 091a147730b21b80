"""Outages: the times in which calls were held back, each from the first call refused to the first let through, however
often a probe failed in between.

ballast:outage:waiting     hash   of the one that is on: jobs that wait, intake time of the oldest, probes that failed
ballast:outages            list   the last ones that are over, for the pages, newest first
ballast:outages:unwritten  list   those still to be written to the table `outages`, newest first

What ends one is the transition that lets calls through again: its script (lua/commit.lua) makes the row, with what is
in the hash, so there is one row whoever closes the breaker. The table is written once the database answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import cast

import redis

from dbcore.breaker.rules import BreakerReason, BreakerState
from dbcore.breaker.state import FleetState

KEPT_MAX = 20
UNWRITTEN_MAX = 1_000

LINGERS_SECONDS = 15
"""Jobs that met the failure before the breaker opened belong to the outage that begins so soon after, or to none."""

_WAITING = "ballast:outage:waiting"
_OUTAGES = "ballast:outages"
_UNWRITTEN = "ballast:outages:unwritten"

_NOTE_WAITING = """
redis.call('HINCRBY', KEYS[1], 'jobs', ARGV[1])
local oldest = redis.call('HGET', KEYS[1], 'oldest')
if not oldest or tonumber(ARGV[2]) < tonumber(oldest) then redis.call('HSET', KEYS[1], 'oldest', ARGV[2]) end
if ARGV[3] == '1' then redis.call('PERSIST', KEYS[1]) else redis.call('EXPIRE', KEYS[1], ARGV[4]) end
"""


@dataclass(frozen=True, slots=True)
class Outage:
    """Times are seconds since 1970 on Redis's clock.

    ended_at -- None while it lasts.
    reason -- the first one; None where an operator paused the bot, who is then `paused_by` where the name is known.
    failed_probes -- of the breaker's.
    jobs_waited -- those that somebody waited for; longest_wait_seconds -- of one of them, up to the end of the outage.
    """

    id: str
    began_at: float
    ended_at: float | None
    reason: BreakerReason | None
    paused_by: str | None
    failed_probes: int = 0
    jobs_waited: int = 0
    longest_wait_seconds: float = 0.0


def ongoing(fleet: FleetState) -> Outage | None:
    """The one that is on, without what its waiting jobs say; None where calls are let through."""
    if not fleet.open_since:
        return None
    paused = fleet.state is BreakerState.FORCED_OPEN
    return Outage(
        id=f"{fleet.open_since:.6f}",
        began_at=fleet.open_since,
        ended_at=None,
        reason=None if paused else fleet.open_reason or fleet.reason,
        paused_by=(fleet.overridden_by or None) if paused else None,
    )


def ended_by(before: FleetState, after: FleetState) -> Outage | None:
    """The outage that this transition ends. A pause that follows an outage is a row of its own."""
    outage = ongoing(before)
    if outage is None or after.open_since == before.open_since:
        return None
    return replace(outage, ended_at=max(after.since, outage.began_at))


def to_json(outage: Outage) -> str:
    return json.dumps(asdict(outage))


def note_waiting(client: redis.Redis, jobs: int, oldest_at: float, *, is_on: bool) -> None:
    """So many more jobs wait, the oldest since then. is_on -- whether the breaker is open by now."""
    client.eval(_NOTE_WAITING, 1, _WAITING, jobs, f"{oldest_at:.3f}", int(is_on), LINGERS_SECONDS)


def read(client: redis.Redis, fleet: FleetState, now: float) -> list[Outage]:
    """The one that is on, then the last ones, newest first."""
    lines = cast(list[bytes], client.lrange(_OUTAGES, 0, KEPT_MAX - 1))
    over = [_outage_of(line) for line in lines]
    outage = ongoing(fleet)
    if outage is None:
        return over
    found = cast(list["bytes | None"], client.hmget(_WAITING, "jobs", "oldest", "failed_probes"))
    jobs, oldest, failed_probes = found
    outage = replace(
        outage,
        failed_probes=int(failed_probes or 0),
        jobs_waited=int(jobs or 0),
        longest_wait_seconds=max(0.0, now - float(oldest)) if oldest else 0.0,
    )
    return [outage, *over][:KEPT_MAX]


def unwritten(client: redis.Redis, limit: int) -> dict[bytes, Outage]:
    """Those that wait to be written down, by the lines they are kept as."""
    lines = cast(list[bytes], client.lrange(_UNWRITTEN, -limit, -1))
    return {line: _outage_of(line) for line in reversed(lines)}


def drop(client: redis.Redis, lines: Iterable[bytes]) -> None:
    """They are written down."""
    pipeline = client.pipeline(transaction=False)
    for line in lines:
        pipeline.lrem(_UNWRITTEN, -1, line.decode())
    pipeline.execute()


def _outage_of(line: bytes) -> Outage:
    values = json.loads(line)
    known = {name: values.get(name) for name in Outage.__slots__ if name in values}
    known["reason"] = BreakerReason(values["reason"]) if values.get("reason") else None
    return Outage(**known)
