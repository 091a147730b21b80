"""Outages: the times in which calls were held back, each from the first call refused to the first let through, however
often a probe failed in between.

ballast:outage:waiting     hash   of the one that is on: jobs that wait, and those of them that are known by id; intake
                                  time of the oldest, probes that failed
ballast:outage:jobs        set    ids of those jobs that are not finished
ballast:outages            list   the last ones that are over, for the pages, newest first
ballast:outages:unwritten  list   those still to be written to the table `outages`, newest first; one that was amended
                                  since comes again
ballast:outages:draining   list   ids of those that are over, and jobs that waited are not finished
ballast:outage:jobs:<id>   set    those jobs; kept for two days

What ends one is the transition that lets calls through again: its script (lua/commit.lua) makes the row, with what is
in the hash, so there is one row whoever closes the breaker. The table is written once the database answers. The inbox
finishes jobs, and says so here in the same step (`OUTAGES_LUA`): the last one drains the outage.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import Any, cast

import redis

from dbcore.breaker.rules import BreakerReason, BreakerState
from dbcore.breaker.state import FleetState

KEPT_MAX = 20
UNWRITTEN_MAX = 1_000

LINGERS_SECONDS = 15
"""Jobs that met the failure before the breaker opened belong to the outage that begins so soon after, or to none."""

LATE_SECONDS = 300
"""So long after its end jobs may still be found to have waited for it: 500 are looked at at once."""

_WAITING = "ballast:outage:waiting"
_JOBS = "ballast:outage:jobs"
_OUTAGES = "ballast:outages"
_UNWRITTEN = "ballast:outages:unwritten"
_DRAINING = "ballast:outages:draining"


def lua(name: str) -> str:
    """The text of a script, or of what scripts share."""
    return files("dbcore.breaker").joinpath("lua", f"{name}.lua").read_text()


OUTAGES_LUA = lua("outages")
"""For any script that finishes jobs."""

_NOTE_WAITING = OUTAGES_LUA + lua("note_waiting")


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """One that somebody waits for. record -- the key of its record in Redis; taken_at -- when it was made."""

    id: str
    record: str
    taken_at: float


@dataclass(frozen=True, slots=True)
class Outage:
    """Times are seconds since 1970 on Redis's clock.

    ended_at -- None while it lasts.
    reason -- the first one; None where an operator paused the bot, who is then `paused_by` where the name is known.
    failed_probes -- of the breaker's.
    jobs_waited -- those that somebody waited for, each counted in the first outage it met; longest_wait_seconds -- of
        one of them, up to the end of the outage.
    failed_at -- when the first of the calls failed that opened the breaker; None for a pause, or where nobody noted it.
    drained_at -- when the last of those jobs was finished; None until then, and where it is not known.
    jobs_left -- how many of them are not finished yet; None where it is not known.
    """

    id: str
    began_at: float
    ended_at: float | None
    reason: BreakerReason | None
    paused_by: str | None
    failed_probes: int = 0
    jobs_waited: int = 0
    longest_wait_seconds: float = 0.0
    failed_at: float | None = None
    drained_at: float | None = None
    jobs_left: int | None = None

    @property
    def is_pause(self) -> bool:
        """By an operator, or for a move: nothing failed."""
        return self.reason is None


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
        failed_at=None if paused else fleet.failed_at or None,
    )


def ended_by(before: FleetState, after: FleetState) -> Outage | None:
    """The outage that this transition ends. A pause that follows an outage is a row of its own."""
    outage = ongoing(before)
    if outage is None or after.open_since == before.open_since:
        return None
    return replace(outage, ended_at=max(after.since, outage.began_at))


def to_json(outage: Outage) -> str:
    return json.dumps(asdict(outage))


def note_waiting(client: redis.Redis, jobs: Sequence[WaitingJob], *, is_on: bool) -> None:
    """These wait as well. is_on -- whether the breaker is open by now."""
    said = [item for job in jobs for item in (job.id, f"{job.taken_at:.3f}")]
    records = [job.record for job in jobs]
    client.eval(_NOTE_WAITING, len(jobs), *records, int(is_on), LINGERS_SECONDS, LATE_SECONDS, *said)


def read(client: redis.Redis, fleet: FleetState, now: float) -> list[Outage]:
    """The one that is on, then the last ones, newest first."""
    lines = cast(list[bytes], client.lrange(_OUTAGES, 0, KEPT_MAX - 1))
    over = _with_jobs_left(client, [outage_of(json.loads(line)) for line in lines])
    outage = ongoing(fleet)
    if outage is None:
        return over
    with client.pipeline(transaction=False) as pipeline:
        pipeline.hmget(_WAITING, "jobs", "oldest", "failed_probes")
        pipeline.scard(_JOBS)
        (jobs, oldest, failed_probes), left = pipeline.execute()
    outage = replace(
        outage,
        failed_probes=int(failed_probes or 0),
        jobs_waited=int(jobs or 0),
        longest_wait_seconds=max(0.0, now - float(oldest)) if oldest else 0.0,
        jobs_left=left,
    )
    return [outage, *over][:KEPT_MAX]


def _with_jobs_left(client: redis.Redis, over: list[Outage]) -> list[Outage]:
    undrained = [outage.id for outage in over if outage.drained_at is None]
    if not undrained:
        return over
    with client.pipeline(transaction=False) as pipeline:
        for outage_id in undrained:
            pipeline.scard(f"{_JOBS}:{outage_id}")
        left = dict(zip(undrained, pipeline.execute(), strict=True))
    return [replace(outage, jobs_left=left.get(outage.id) or None) for outage in over]


def unwritten(client: redis.Redis, limit: int) -> dict[bytes, Outage]:
    """Those that wait to be written down, by the lines they are kept as."""
    lines = cast(list[bytes], client.lrange(_UNWRITTEN, -limit, -1))
    return {line: outage_of(json.loads(line)) for line in reversed(lines)}


def drop(client: redis.Redis, lines: Iterable[bytes]) -> None:
    """They are written down."""
    pipeline = client.pipeline(transaction=False)
    for line in lines:
        pipeline.lrem(_UNWRITTEN, -1, line.decode())
    pipeline.execute()


def outage_of(values: Mapping[str, Any]) -> Outage:
    """From JSON. What another release wrote may lack fields, or have some of its own."""
    known = {name: values[name] for name in Outage.__slots__ if name in values}
    known["reason"] = BreakerReason(values["reason"]) if values.get("reason") else None
    return Outage(**known)
