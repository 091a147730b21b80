"""The database that `make bench BENCH=history` fills, in small: right by the audit, and each call of it works."""

from __future__ import annotations

import pytest

from benchmarks import history
from devstack.postgres import EmbeddedPostgres
from tests.harness.bots_database import run_as_admin


def test_the_filled_databases_pass_the_audit_and_each_call_is_compared(
    postgres_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "FEW", 110)
    monkeypatch.setattr(history, "ENTRIES_EACH", 21)
    monkeypatch.setattr(history, "BROADCASTS", 2)
    try:
        found = history.run(postgres_server, 400, rounds=10)  # raises if the audit fails
    finally:
        for name in ("small", "large"):
            run_as_admin(postgres_server, "postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    assert found["entries"] == {"small": 110 * 21, "large": 400 * 21}
    assert {
        f"{call}, {whose}"
        for call in ("/balance", "/history, first page", "/history, deep page", "transfer", "credit")
        for whose in ("of anybody", "of those who come")
    } < found["calls"].keys()
    assert all(at["ratio"] > 0 for shares in found["calls"].values() for at in shares.values())
