"""`python -m dbcore`, as an operator runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.migrate import newest_revision
from devstack.ports import free_port
from tests.dbcore.conftest import Person, Sql

ROOT = Path(__file__).parents[2]


def dbcore(command: str, url: str | None, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment["PYTHONPATH"] = str(ROOT)
    if url is not None:
        environment["DATABASE_URL"] = url
    return subprocess.run(
        [sys.executable, "-m", "dbcore", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_migrate_says_where_the_schema_is(database_url: str, tmp_path: Path) -> None:
    done = dbcore("migrate", database_url, tmp_path)
    assert (done.returncode, done.stdout) == (0, f"The schema is at revision {newest_revision()}.\n")


def test_audit_passes_and_fails_by_its_exit_status(
    engine: GuardedEngine, person: Person, sql: Sql, database_url: str, tmp_path: Path
) -> None:
    person(100)
    good = dbcore("audit", database_url, tmp_path)
    assert good.returncode == 0
    assert "ok    entries sum to zero per currency (2 checked)" in good.stdout
    sql("UPDATE accounts SET balance = balance + 1 WHERE user_id IS NOT NULL")
    bad = dbcore("audit", database_url, tmp_path)
    assert bad.returncode == 1
    assert "balance 101, entries 100" in bad.stdout


def test_status_names_server_revision_and_tables(database_url: str, tmp_path: Path) -> None:
    done = dbcore("status", database_url, tmp_path)
    assert done.returncode == 0
    revision = f"revision     {newest_revision()}"
    for part in (
        "PostgreSQL",
        revision,
        "connections",
        "size",
        "latency",
        "outbox       no job waits",
        "entries",
        " 0 rows\n",
        " 1 row\n",
    ):
        assert part in done.stdout


def test_status_says_how_many_jobs_wait_in_the_outbox(database_url: str, tmp_path: Path, sql: Sql) -> None:
    sql(
        "INSERT INTO outbox (kind, payload, created_at) "
        "VALUES ('a.b', '{}', now() - interval '90 s'), ('a.b', '{}', now())"
    )
    shown = re.search(
        r"outbox       2 jobs wait, the oldest for (\d+) s\n", dbcore("status", database_url, tmp_path).stdout
    )
    assert shown is not None
    assert 90 <= int(shown[1]) < 300


@pytest.mark.parametrize("command", ["migrate", "audit", "status"])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "DATABASE_URL is not set"),
        ("mysql://root@127.0.0.1/x", "DATABASE_URL: expected postgresql://"),
        ("postgresql://ballast:hunter2@127.0.0.1:{port}/ballast", "Connection refused"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    command: str, url: str | None, said: str, tmp_path: Path
) -> None:
    done = dbcore(command, url and url.format(port=free_port()), tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_a_database_without_the_schema_is_said_in_one_line(
    sql: Sql, database_url: str, tmp_path: Path
) -> None:
    sql("ALTER TABLE entries RENAME TO elsewhere")
    done = dbcore("audit", database_url, tmp_path)
    assert done.returncode == 2
    assert "is the schema migrated?" in done.stderr
