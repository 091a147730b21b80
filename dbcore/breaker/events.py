"""The fleet's transitions and outages in the tables `breaker_events` and `outages`: written once the database is back,
each once. Transitions are kept for 90 days, outages for two years; each writing deletes more of the older ones than it
can bring.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from dbcore.breaker.outages import Outage
from dbcore.breaker.rules import BreakerReason
from dbcore.breaker.store import Event
from dbcore.guard.engine import GuardedEngine

_INSERT = """
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%s::jsonb)
        AS event(id text, before text, after text, reason text, open_seconds float8, by text, at float8)
), written AS (
    INSERT INTO ballast.breaker_events (event_id, before, after, reason, open_seconds, by_whom, created_at)
    SELECT id, before, after, reason, open_seconds, by, to_timestamp(at) FROM given
    ON CONFLICT (event_id) DO NOTHING RETURNING 1
), outdated AS (
    DELETE FROM ballast.breaker_events WHERE id IN (
        SELECT id FROM ballast.breaker_events WHERE created_at < now() - interval '90 days'
        ORDER BY created_at LIMIT 200 FOR UPDATE SKIP LOCKED)
)
SELECT count(*) FROM written
"""

_INSERT_OUTAGES = """
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%s::jsonb)
        AS outage(id text, began_at float8, ended_at float8, reason text, paused_by text, failed_probes bigint,
                  jobs_waited bigint, longest_wait_seconds float8)
), written AS (
    INSERT INTO ballast.outages (outage_id, began_at, ended_at, reason, paused_by, failed_probes, jobs_waited,
                         longest_wait_seconds)
    SELECT id, to_timestamp(began_at), to_timestamp(ended_at), reason, paused_by, failed_probes, jobs_waited,
           longest_wait_seconds
      FROM given
    ON CONFLICT (outage_id) DO NOTHING RETURNING 1
), outdated AS (
    DELETE FROM ballast.outages WHERE id IN (
        SELECT id FROM ballast.outages WHERE began_at < now() - interval '2 years' ORDER BY began_at LIMIT 200
        FOR UPDATE SKIP LOCKED)
)
SELECT count(*) FROM written
"""

_OUTAGES = (
    "SELECT outage_id, extract(epoch FROM began_at)::float8, extract(epoch FROM ended_at)::float8, reason, paused_by, "
    "failed_probes, jobs_waited, longest_wait_seconds FROM ballast.outages ORDER BY began_at DESC LIMIT %s"
)

_DEADLINE_SECONDS = 2.0  # the link waits for it, and has better to do


def write(engine: GuardedEngine, events: Sequence[Event]) -> int:
    """Returns how many were not there yet. Raises like any call where the database gives no answer."""
    (count,) = engine.fetch_row(
        _INSERT,
        (json.dumps([asdict(event) for event in events]),),
        name="fleet.events.write",
        deadline_seconds=_DEADLINE_SECONDS,
    )
    return int(count)


def write_outages(engine: GuardedEngine, outages: Sequence[Outage]) -> int:
    """As `write`, for outages that are over."""
    (count,) = engine.fetch_row(
        _INSERT_OUTAGES,
        (json.dumps([asdict(outage) for outage in outages]),),
        name="fleet.outages.write",
        deadline_seconds=_DEADLINE_SECONDS,
    )
    return int(count)


def read_outages(engine: GuardedEngine, limit: int) -> list[Outage]:
    """The last ones that are written down, newest first."""
    rows = engine.fetch_rows(_OUTAGES, (limit,), name="fleet.outages.read", writes=False)
    return [
        Outage(outage_id, began_at, ended_at, BreakerReason(reason) if reason else None, *rest)
        for outage_id, began_at, ended_at, reason, *rest in rows
    ]
