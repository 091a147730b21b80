"""The fleet's transitions and outages in the tables `breaker_events` and `outages`: written once the database is back,
each once. Transitions are kept for 90 days, outages for two years; each writing deletes more of the older ones than it
can bring.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from dbcore.breaker.outages import Outage
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
                  jobs_waited bigint, longest_wait_seconds float8, failed_at float8, drained_at float8)
), written AS (
    INSERT INTO ballast.outages AS known (outage_id, began_at, ended_at, reason, paused_by, failed_probes, jobs_waited,
                         longest_wait_seconds, failed_at, drained_at)
    SELECT id, to_timestamp(min(began_at)), to_timestamp(min(ended_at)), min(reason), min(paused_by),
           max(failed_probes), max(jobs_waited), max(longest_wait_seconds), to_timestamp(min(failed_at)),
           to_timestamp(max(drained_at))
      FROM given GROUP BY id
    ON CONFLICT (outage_id) DO UPDATE SET
        jobs_waited = greatest(known.jobs_waited, excluded.jobs_waited),
        longest_wait_seconds = greatest(known.longest_wait_seconds, excluded.longest_wait_seconds),
        drained_at = greatest(known.drained_at, excluded.drained_at)
    RETURNING 1
), outdated AS (
    DELETE FROM ballast.outages WHERE id IN (
        SELECT id FROM ballast.outages WHERE began_at < now() - interval '2 years' ORDER BY began_at LIMIT 200
        FOR UPDATE SKIP LOCKED)
)
SELECT count(*) FROM written
"""

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
    """As `write`, for outages that are over. One that is there already gets what was learnt of it since."""
    (count,) = engine.fetch_row(
        _INSERT_OUTAGES,
        (json.dumps([asdict(outage) for outage in outages]),),
        name="fleet.outages.write",
        deadline_seconds=_DEADLINE_SECONDS,
    )
    return int(count)
