"""A disk that is full: said in one line, and nothing that is half there counts."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.postgres import programs_folder
from tests.backups.conftest import BALANCES, Ballast, kept, listed
from tests.backups.test_broken import program, tools  # noqa: F401
from tests.dbcore.conftest import statements_on


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process may be larger: what is written beyond that fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_for_the_dump_makes_no_backup_and_leaves_nothing(
    ballast: Ballast,
    people: None,
    tools: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    real = programs_folder() / "pg_dump"
    program(tools, "pg_dump", f"#!/bin/sh\nulimit -f 8\ntrap '' XFSZ\nexec {real} \"$@\"\n")
    full = ballast("backup", BACKUP_PROGRAMS=str(tools))
    assert full.exit_code == 1
    assert "pg_dump: " in full.stderr
    assert "File too large" in full.stderr
    assert len(full.stderr.splitlines()) == 1
    assert [*(tmp_path / "kept").iterdir()] == []

    assert ballast("backup").exit_code == 0
    assert len(listed(ballast)) == 1


def test_no_room_for_the_finished_file_makes_no_backup_and_leaves_nothing(
    ballast: Ballast, people: None, tmp_path: Path
) -> None:
    assert ballast("backup").exit_code == 0
    (whole,) = kept(tmp_path / "kept")
    with room_for(whole.stat().st_size - 1_000):  # the dump alone is smaller
        full = ballast("backup")
    assert full.exit_code == 1
    assert full.stderr.endswith(": File too large\n")
    assert kept(tmp_path / "kept") == [whole]
    assert len([*(tmp_path / "kept").iterdir()]) == 2  # with its note


def test_no_room_to_restore_leaves_the_database_as_it_was(
    ballast: Ballast, people: None, empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ballast("backup").exit_code == 0
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(work))
    with room_for(4_096):
        full = ballast("restore", "latest", "--into", empty_database_url)
    assert full.exit_code == 1
    assert full.stderr.endswith(": File too large\n")
    assert [*work.iterdir()] == []
    with statements_on(empty_database_url) as there:
        assert there("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
        assert ballast("restore", "latest", "--into", empty_database_url).exit_code == 0
        assert len(there(BALANCES)) == 5
