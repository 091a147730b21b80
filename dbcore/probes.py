"""The probe: what the database is and how it does, asked and written down in one round trip."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg2.errors import InvalidSchemaName, UndefinedColumn, UndefinedFunction, UndefinedTable

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine

PRUNED_AT_ONCE = 1_000

_PRUNE = (
    "WITH gone AS (DELETE FROM ballast.health_probes WHERE id IN (SELECT id FROM ballast.health_probes "
    "WHERE created_at < now() - make_interval(days => %s) ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED) "
    "RETURNING 1) SELECT count(*) FROM gone"
)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One look. `latency_ms` is the whole round trip with any wait for a connection, `server_ms` the server's
    part of it.
    """

    ok: bool
    latency_ms: float
    server_ms: float
    server_version: str
    tables: int
    missing_tables: tuple[str, ...]
    connections: int
    max_connections: int
    database_bytes: int


class SchemaMissing(Exception):
    """The database answers, but was not migrated for this release. The message says what it lacks, in its own words."""


def probe(engine: GuardedEngine, *, trigger: str) -> ProbeResult:
    """Look, and add a row to `health_probes`. Not ok where a table is missing.

    trigger -- who wanted to know: `beat`, `operator`. Raises SchemaMissing, and like any call where the database
    gives no answer.
    """
    from dbcore.schema import TABLE_NAMES  # a fifth of a second to load

    started = time.perf_counter()
    try:
        row = engine.fetch_row(
            "SELECT * FROM ballast.health_probe(%s, %s)", (trigger, list(TABLE_NAMES)), name="probes.probe"
        )
    except (UndefinedFunction, UndefinedTable, UndefinedColumn, InvalidSchemaName) as error:
        raise SchemaMissing(str(error).partition("\n")[0]) from error
    latency_ms = (time.perf_counter() - started) * 1000
    server_ms, server_version, missing, connections, max_connections, database_bytes = row
    return ProbeResult(
        ok=not missing,
        latency_ms=round(latency_ms, 2),
        server_ms=round(server_ms, 2),
        server_version=server_version,
        tables=len(TABLE_NAMES) - len(missing),
        missing_tables=tuple(missing),
        connections=connections,
        max_connections=max_connections,
        database_bytes=database_bytes,
    )


def prune(engine: GuardedEngine, days: int) -> int:
    """Remove the oldest of those that are older than that; how many it were."""
    (count,) = engine.fetch_row(_PRUNE, (days, PRUNED_AT_ONCE), name="probes.prune")
    return int(count)
