"""`ballast migrate` makes a proven backup before it changes tables, and rehearses the migrations on the copy."""

from __future__ import annotations

from pathlib import Path

from dbcore.migrate import newest_revision, oldest_revision, upgrade
from devstack.postgres import programs_folder
from tests.backups.conftest import Ballast, listed
from tests.backups.test_broken import program, tools  # noqa: F401
from tests.dbcore.conftest import statements_on

REVISION = "SELECT version_num FROM alembic_version"


def test_an_older_database_is_backed_up_before_it_is_migrated(
    ballast: Ballast, empty_database_url: str
) -> None:
    upgrade(empty_database_url, to=oldest_revision())
    done = ballast("migrate", DATABASE_URL=empty_database_url)
    assert done.exit_code == 0, done.output
    assert "proven    restored, 34 of 34 checks passed" in done.stderr
    (backup,) = listed(ballast)
    assert backup["note"]["revision"] == oldest_revision()
    with statements_on(empty_database_url) as run:
        assert run(REVISION) == [(newest_revision(),)]
    assert ballast("migrate", DATABASE_URL=empty_database_url).exit_code == 0
    assert len(listed(ballast)) == 1  # there was nothing to migrate


def test_a_new_database_has_nothing_to_back_up(ballast: Ballast, empty_database_url: str) -> None:
    assert ballast("migrate", DATABASE_URL=empty_database_url).exit_code == 0
    assert listed(ballast) == []


def test_without_a_proven_backup_nothing_is_migrated_unless_it_is_left_out(
    ballast: Ballast,
    empty_database_url: str,
    tools: Path,  # noqa: F811
) -> None:
    upgrade(empty_database_url, to=oldest_revision())
    real = programs_folder() / "pg_dump"
    program(tools, "pg_dump", f'#!/bin/sh\n[ "$1" = --version ] && exec {real} --version\nexit 1\n')
    options = {"DATABASE_URL": empty_database_url, "BACKUP_PROGRAMS": str(tools)}
    refused = ballast("migrate", **options)
    assert refused.exit_code == 1
    assert (
        "pg_dump: it ended with exit status 1. Nothing was migrated; --no-backup migrates" in refused.stderr
    )
    with statements_on(empty_database_url) as run:
        assert run(REVISION) == [(oldest_revision(),)]
    assert ballast("migrate", "--no-backup", **options).exit_code == 0
    with statements_on(empty_database_url) as run:
        assert run(REVISION) == [(newest_revision(),)]
