"""`ballast upgrade --check`: what a release needs before it takes the place of the one that runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result

import ballast
from ballast.backups import record
from ballast.backups.record import KEY
from ballast.cli import upgrade_check
from ballast.cli.main import cli
from ballast.inbox import Inbox
from dbcore.migrate import AppMigrations, newest_revision, oldest_revision, upgrade, upgrade_app
from dbcore.redis_client import redis_time
from tests.conftest import MakeSettings
from tests.dbcore.conftest import statements_on
from tests.dbcore.test_app_migrations import write

Check = Callable[..., Result]
ASKS_FIRST = """
from alembic import op

revision, down_revision = "0004", "0003"


def upgrade():
    op.get_bind().exec_driver_sql("SELECT 1").scalar_one()
"""


@pytest.fixture
def check(
    make_settings: MakeSettings, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Check:
    """Runs it in a folder of the test's own, on a database."""
    make_settings()  # takes the options of whoever runs the tests away
    monkeypatch.chdir(tmp_path)

    def run(database_url: str, *arguments: str, **options: str) -> Result:
        environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, **options}
        return CliRunner().invoke(
            cli, ["upgrade", "--check", *arguments], prog_name="ballast", env=environment
        )

    return run


def lines(done: Result, subject: str) -> list[str]:
    """The level and words of each finding about it."""
    found = re.findall(rf"^(\w+) +{subject} +(.*)$", done.output, re.MULTILINE)
    return [f"{level} {words}" for level, words in found]


def test_a_database_of_this_release_is_ready(check: Check, database_url: str) -> None:
    done = check(database_url)
    assert done.exit_code == 0, done.output
    assert done.output.endswith("Ready.\n")
    assert lines(done, "Migrations") == ["ok none is pending"]
    assert lines(done, "Workers") == ["ok none runs"]
    assert lines(done, "Settings") == ["ok are understood"]


def test_each_pending_migration_is_named_with_what_it_locks_and_nothing_is_changed(
    check: Check, empty_database_url: str
) -> None:
    upgrade(empty_database_url, to=oldest_revision())
    with statements_on(empty_database_url) as run:
        run("INSERT INTO users (telegram_id, first_name) VALUES (7, 'Ann')")
        done = check(empty_database_url, BACKUP_TO="kept")
        assert done.exit_code == 0, done.output
        told = lines(done, "Migrations")
        assert len(told) == int(newest_revision()) - 1
        assert (
            "note Ballast 0016 (The language that somebody chose. The release before goes on beside it, and leaves it "
            "alone): users ACCESS EXCLUSIVE for a moment. The bot can go on" in told
        )
        assert run("SELECT version_num FROM alembic_version") == [(oldest_revision(),)]
        assert run("SELECT to_regclass('broadcasts')") == [(None,)]
    assert lines(done, "Backup") == ["note no proven one is known; `ballast migrate` makes one first"]
    document = json.loads(check(empty_database_url, "--json", BACKUP_TO="kept").output)
    assert document["ready"] is True
    assert [f["level"] for f in document["findings"] if f["subject"] == "Migrations"] == ["note"] * len(told)


def test_migrations_without_a_backup_are_to_wait_for_one(check: Check, empty_database_url: str) -> None:
    upgrade(empty_database_url, to="0015")
    done = check(empty_database_url)
    assert done.exit_code == 1
    assert lines(done, "Backup") == [
        "first no proven one is known: set BACKUP_TO, or make one by `ballast backup --to`"
    ]


def test_an_app_s_index_on_a_table_with_rows_is_told_with_its_room_on_the_disk(
    make_settings: MakeSettings, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    shop = AppMigrations("shop", tmp_path, "shop")
    write(
        shop.folder, "0001", None, "CREATE TABLE shop.goods (name text); CREATE INDEX a ON shop.goods (name)"
    )
    upgrade_app(database_url, shop)
    with statements_on(database_url) as run:
        run("INSERT INTO shop.goods SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
    write(shop.folder, "0002", "0001", "CREATE INDEX b ON shop.goods (name)")
    write(shop.folder, "0003", "0002", "ALTER TABLE shop.goods ADD COLUMN price bigint")
    (shop.folder / "0004.py").write_text(ASKS_FIRST)
    found = upgrade_check.check(make_settings(database_url=database_url, redis_url=redis_url), [shop])
    told = [f"{each.level} {each.words}" for each in found if each.subject in {"Migrations", "Disk"}]
    assert told == [
        "first shop 0002: goods SHARE while it builds an index. Stop the bot first",
        "note shop 0003: goods ACCESS EXCLUSIVE for a moment. The bot can go on",
        "note shop 0004: what it locks cannot be told without running it: rehearse it on a restored backup",
        "note building indexes takes up to 6 MB on the database's disk; the server does not tell how much is free",
    ]


def test_a_database_of_a_newer_release_is_not_taken_over(check: Check, database_url: str) -> None:
    with statements_on(database_url) as run:
        run("UPDATE alembic_version SET version_num = '9999'")
    done = check(database_url)
    assert done.exit_code == 1
    assert lines(done, "Migrations") == [
        "first the database is at revision 9999, which this release does not know: a newer one migrated it"
    ]


def test_workers_of_another_release_old_backups_and_unknown_settings_are_told(
    check: Check,
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redis_client = redis.Redis.from_url(redis_url)
    inbox = Inbox(redis_client)
    report: dict[str, Any] = {"name": "main", "queues": []}
    inbox.beat("old", report)
    inbox.beat("new", {**report, "version": ballast.__version__})
    taken = {"name": "b", "where": "w", "taken_at": redis_time(redis_client) - 90 * 3600}
    redis_client.hset(KEY, "proven", json.dumps({**taken, "bytes": 1, "sealed": False, "inbox": 0}))
    assert record.read(redis_client).proven is not None
    env_file = tmp_path / "an.env"
    env_file.write_text("HEALTH_PROBE_SECOND=7\nSHOE_SIZE=43\nTIMEZONE=UTC\n")
    monkeypatch.setattr("dbcore.settings.reading.ENV_FILE", str(env_file))

    done = check(database_url, BACKUP_TO="kept")
    assert done.exit_code == 1
    assert lines(done, "Workers") == [
        "note 1 process of release 0.2.0 or older still runs: restart it after the migrations"
    ]
    assert lines(done, "Backup") == ["first the last proven one is 90.0 hours old: too old"]
    assert lines(done, "Settings") == [
        "note HEALTH_PROBE_SECOND in .env is not an option and is ignored; did you mean HEALTH_PROBE_SECONDS?",
        "note SHOE_SIZE in .env is not an option and is ignored",
    ]


def test_bad_settings_and_servers_that_do_not_answer_have_a_status_of_their_own(
    check: Check, database_url: str
) -> None:
    assert check("postgresql://u:hunter2@127.0.0.1:1/d").exit_code == 2
    assert check(database_url, REDIS_URL="redis://127.0.0.1:1/0").exit_code == 2
    refused = check(database_url, OPS_PORT="no")
    assert refused.exit_code == 2
    assert "OPS_PORT: " in refused.stderr
