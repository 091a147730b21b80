"""Probes and failed operations: what is written down about failures."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from dbcore import failed_operations, probes
from dbcore.guard.engine import GuardedEngine
from dbcore.schema import TABLE_NAMES
from tests.dbcore.conftest import Sql


def record(engine: GuardedEngine, job_id: str = "job") -> bool:
    return failed_operations.record(
        engine,
        job_id=job_id,
        kind="transactions.create",
        reference="R-1",
        telegram_id=7,
        error="boom \x00 \ud83d",
        payload={"text": "a\x00\ud83d 100%", "ids": [1, {"nested": "\x00"}]},
    )


def test_a_failure_is_recorded_once_for_its_job(engine: GuardedEngine) -> None:
    assert record(engine)
    assert not record(engine)
    (found,) = failed_operations.list_open(engine, 10)
    assert (found.job_id, found.reference, found.telegram_id) == ("job", "R-1", 7)
    assert found.payload == {"text": "a? 100%", "ids": [1, {"nested": ""}]}


def test_the_list_is_bounded_and_oldest_first(engine: GuardedEngine) -> None:
    for number in range(5):
        record(engine, f"job {number}")
    assert [found.job_id for found in failed_operations.list_open(engine, 2)] == ["job 0", "job 1"]


def test_a_probe_looks_and_is_written_down(engine: GuardedEngine, sql: Sql) -> None:
    result = probes.probe(engine, trigger="beat")
    assert result.ok
    assert result.missing_tables == ()
    assert result.tables == len(TABLE_NAMES)
    assert result.latency_ms >= result.server_ms > 0
    assert 0 < result.connections <= result.max_connections
    assert result.database_bytes > 1_000_000
    assert sql("SELECT trigger, ok, server_version FROM health_probes") == [
        ("beat", True, result.server_version)
    ]
    json.dumps(asdict(result))


def test_a_missing_table_is_not_ok(engine: GuardedEngine, sql: Sql) -> None:
    sql("ALTER TABLE pending_transfers RENAME TO elsewhere")
    result = probes.probe(engine, trigger="beat")
    assert (result.ok, result.missing_tables) == (False, ("pending_transfers",))


def test_a_database_that_was_not_migrated_is_told_from_one_that_is_away(
    engine: GuardedEngine, sql: Sql
) -> None:
    sql("ALTER FUNCTION health_probe RENAME TO elsewhere")
    with pytest.raises(probes.SchemaMissing, match="health_probe"):
        probes.probe(engine, trigger="beat")


def test_old_probes_go(engine: GuardedEngine, sql: Sql) -> None:
    probes.probe(engine, trigger="old")
    sql("UPDATE health_probes SET created_at = now() - interval '31 days'")
    probes.probe(engine, trigger="new")
    assert sql("SELECT trigger FROM health_probes") == [("new",)]


def test_a_snapshot_is_made_of_what_json_knows(engine: GuardedEngine) -> None:
    probes.probe(engine, trigger="beat")
    snapshot = json.loads(json.dumps(asdict(engine.snapshot())))
    assert (snapshot["state"], snapshot["calls_total"], snapshot["pool_in_use"]) == ("closed", 1, 0)
