"""What is not whole does not count, is not restored, and is said in a sentence."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest

from dbcore.backups import scratch
from devstack.postgres import EmbeddedPostgres, programs_folder
from devstack.stack import ROOT
from tests.backups.conftest import BALANCES, Ballast, kept, listed, recipient
from tests.dbcore.conftest import Sql, eventually, statements_on

HANGS = "#!/bin/sh\ntouch {there}\nexec sleep 600\n"


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_text(script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for BACKUP_PROGRAMS, whose programs a test may replace."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("pg_dump", "pg_restore"):
        program(folder, name, f'#!/bin/sh\nexec {programs_folder() / name} "$@"\n')
    return folder


def hang(tools: Path, name: str) -> Path:
    """The program answers for its version, and else hangs. Returns the file that says that it does."""
    there = tools / f"{name}.hangs"
    real = programs_folder() / name
    program(
        tools,
        name,
        f'#!/bin/sh\n[ "$1" = --version ] && exec {real} --version\ntouch {there}\nexec sleep 600\n',
    )
    return there


@pytest.mark.parametrize("hanging", ["pg_dump", "pg_restore"])
def test_a_backup_killed_in_the_middle_leaves_nothing_that_looks_whole_and_the_next_one_clears_up(
    ballast: Ballast,
    environment: dict[str, str],
    people: None,
    scratches: Callable[[], list[str]],
    tools: Path,
    tmp_path: Path,
    hanging: str,
) -> None:
    there = hang(tools, hanging)
    process = subprocess.Popen(
        [sys.executable, "-m", "ballast", "backup"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            **environment,
            "BACKUP_PROGRAMS": str(tools),
        },
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    eventually(there.exists, 60)
    busy = ballast("backup")
    assert "another backup of this database is running" in busy.stderr
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert kept(tmp_path / "kept") == []
    assert len(scratches()) == (hanging == "pg_restore")

    made = eventually(lambda: (done := ballast("backup")).exit_code == 0 and done)
    assert scratches() == []
    assert ("which an earlier run left" in made.stdout) == (hanging == "pg_restore")
    assert (
        len(list((tmp_path / "kept").iterdir())) == 2
    )  # the backup and its note: the killed run's folder is gone


@pytest.mark.parametrize("hanging", ["pg_dump", "pg_restore"])
def test_a_program_that_hangs_is_ended(
    ballast: Ballast,
    people: None,
    scratches: Callable[[], list[str]],
    tools: Path,
    tmp_path: Path,
    hanging: str,
) -> None:
    hang(tools, hanging)
    done = ballast("backup", BACKUP_PROGRAMS=str(tools), BACKUP_DEADLINE_SECONDS="5")
    assert (done.exit_code, done.stderr) == (
        1,
        f"ballast: {hanging} did not end within BACKUP_DEADLINE_SECONDS, and was ended\n",
    )
    # What could not be proven is kept, and does not count.
    assert [each["note"] for each in listed(ballast)] == ([] if hanging == "pg_dump" else [None])
    assert ballast("restore", "latest").stderr.startswith("ballast: there is no proven backup in ")
    assert ballast("backup").exit_code == 0  # drops what the other could not in its time
    assert scratches() == []


def test_a_backup_does_not_sweep_away_where_another_one_is_checked(
    database_url: str, scratches: Callable[[], list[str]]
) -> None:
    tag = scratch.tag_of(database_url)
    with scratch.scratch_database(database_url, tag, search_path="public"):
        checking = scratches()
        assert len(checking) == 1
        assert scratch.sweep(database_url, tag) == []
        assert scratches() == checking
    assert scratches() == []


def test_a_ledger_that_is_wrong_makes_no_proven_backup(
    ballast: Ballast, people: None, sql: Sql, scratches: Callable[[], list[str]]
) -> None:
    assert ballast("backup").exit_code == 0
    sql("UPDATE accounts SET balance = balance + 1 WHERE user_id = 1")
    done = ballast("backup")
    assert done.exit_code == 1
    assert "the audit of what was restored fails: each balance is the sum" in done.stderr
    assert [each["note"] is None for each in listed(ballast)] == [True, False]
    assert scratches() == []


def test_a_dump_that_lacks_rows_is_no_backup(ballast: Ballast, people: None, tools: Path) -> None:
    real = programs_folder() / "pg_dump"
    program(tools, "pg_dump", f'#!/bin/sh\nexec {real} "$@" --exclude-table-data=entries\n')
    done = ballast("backup", BACKUP_PROGRAMS=str(tools))
    assert done.exit_code == 1
    assert "what was restored is not what was dumped: public.entries has 0 rows instead of 10" in done.stderr
    assert listed(ballast)[0]["note"] is None


def damaged(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def swapped(raw: bytes) -> bytes:
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :]


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    "change", [lambda raw: raw[: len(raw) // 2], swapped, lambda raw: b"", lambda raw: b"x" * len(raw)]
)
def test_a_cut_or_changed_backup_is_not_restored(
    ballast: Ballast,
    people: None,
    empty_database_url: str,
    tmp_path: Path,
    identity: Path,
    sealed: bool,
    change: Callable[[bytes], bytes],
) -> None:
    options = {"BACKUP_RECIPIENT": recipient(identity)} if sealed else {}
    assert ballast("backup", **options).exit_code == 0
    damaged(kept(tmp_path / "kept")[0], change)
    done = ballast("restore", "latest", "--into", empty_database_url, "--identity", str(identity))
    assert done.exit_code == 1, done.output
    assert done.stderr.startswith("ballast: it is "), done.stderr
    with statements_on(empty_database_url) as there:
        assert there("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_a_sealed_backup_opens_with_its_key_alone(
    ballast: Ballast, people: None, empty_database_url: str, identity: Path, tmp_path: Path
) -> None:
    assert ballast("backup", BACKUP_RECIPIENT=recipient(identity)).exit_code == 0
    into = ["restore", "latest", "--into", empty_database_url]
    assert "is sealed: give the file with its private key by --identity" in ballast(*into).stderr
    other = tmp_path / "other.txt"
    other.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    assert ballast(*into, "--identity", str(other)).stderr == (
        "ballast: it is sealed for another key than --identity has\n"
    )
    other.write_text("hello\n")
    assert ballast(*into, "--identity", str(other)).stderr == (
        f"ballast: --identity: {other}: it holds no key of age\n"
    )
    assert ballast(*into, "--identity", "nowhere").stderr == (
        "ballast: --identity: nowhere: No such file or directory\n"
    )
    assert ballast(*into, "--identity", str(identity)).exit_code == 0


def test_a_folder_that_cannot_be_written_is_said(ballast: Ballast, people: None, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file")
    assert ballast("backup").stderr == f"ballast: {tmp_path}/kept: File exists\n"


def test_programs_that_are_too_old_are_said(
    ballast: Ballast, people: None, tools: Path, tmp_path: Path
) -> None:
    for name in ("pg_dump", "pg_restore"):
        program(tools, name, f'#!/bin/sh\necho "{name} (PostgreSQL) 9.6.24"\n')
    done = ballast("backup", BACKUP_PROGRAMS=str(tools))
    assert done.exit_code == 1
    assert done.stderr.startswith(
        "ballast: pg_dump is of PostgreSQL 9 and the server of 18, which an older program"
    )
    none = ballast("backup", BACKUP_PROGRAMS=str(tmp_path / "nowhere"))
    assert none.stderr.startswith(
        "ballast: there is no pg_dump: install PostgreSQL's client programs of version 18"
    )


def test_a_database_that_does_not_answer_is_said(ballast: Ballast, environment: dict[str, str]) -> None:
    done = ballast("backup", DATABASE_URL="postgresql://u:p@127.0.0.1:1/d")
    assert done.exit_code == 1
    assert "Connection refused" in done.stderr
    assert "u:p" not in done.stderr
    assert ballast("backup", BACKUP_TO="").stderr == "BACKUP_TO is not set: set it, or say --to\n"


def test_a_killed_restore_leaves_the_database_as_it_was(
    ballast: Ballast,
    environment: dict[str, str],
    people: None,
    empty_database_url: str,
    tools: Path,
    tmp_path: Path,
    sql: Sql,
) -> None:
    assert ballast("backup").exit_code == 0
    there = hang(tools, "pg_restore")
    process = subprocess.Popen(
        [sys.executable, "-m", "ballast", "restore", "latest", "--into", empty_database_url],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            **environment,
            "BACKUP_PROGRAMS": str(tools),
        },
        cwd=tmp_path,
    )
    eventually(there.exists, 60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    restored = ballast("restore", "latest", "--into", empty_database_url)
    assert restored.exit_code == 0, restored.output
    with statements_on(empty_database_url) as run:
        assert run(BALANCES) == sql(BALANCES)


def test_a_login_that_may_make_no_database_proves_elsewhere(
    ballast: Ballast, people: None, sql: Sql, postgres_server: EmbeddedPostgres, database_url: str
) -> None:
    sql("ALTER ROLE ballast NOCREATEDB")
    try:
        by_setting = ballast("backup", BACKUP_SCRATCH_URL=postgres_server.admin_url_of("postgres"))
        assert by_setting.exit_code == 0, by_setting.output
        by_embedded = ballast("backup")
        assert by_embedded.exit_code == 0, by_embedded.output
        lost = ballast("restore", "latest", "--check", DATABASE_URL="postgresql://u:p@127.0.0.1:1/d")
        assert "the database does not answer" in lost.stdout
        assert lost.exit_code == 0, lost.output
    finally:
        sql("ALTER ROLE ballast CREATEDB")
