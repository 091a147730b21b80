"""Backups in S3-compatible storage, against a stand-in that checks every signature."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ballast.backups.s3 import S3Store
from devstack.ports import free_port
from devstack.postgres import programs_folder
from devstack.stack import ROOT
from tests.backups.conftest import BALANCES, Ballast, listed, recipient
from tests.backups.s3 import BUCKET, KEY, REGION, SECRET, Storage, running_storage
from tests.dbcore.conftest import Sql, eventually, statements_on


@pytest.fixture
def storage() -> Iterator[Storage]:
    with running_storage() as running:
        yield running


@pytest.fixture
def options(storage: Storage) -> dict[str, str]:
    return {
        "BACKUP_TO": f"s3://{BUCKET}/my bots/one",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": storage.url,
    }


def test_a_backup_is_stored_listed_restored_and_removed(
    ballast: Ballast,
    people: None,
    sql: Sql,
    empty_database_url: str,
    storage: Storage,
    options: dict[str, str],
    identity: Path,
) -> None:
    sealed = {**options, "BACKUP_RECIPIENT": recipient(identity), "BACKUP_KEEP": "1"}
    for _ in range(2):
        made = ballast("backup", **sealed)
        assert made.exit_code == 0, made.output
    (backup,) = listed(ballast, **sealed)
    assert {f"my bots/one/{backup['name']}{end}" for end in ("", ".json")} == storage.objects.keys()
    restored = ballast(
        "restore", "latest", "--into", empty_database_url, "--identity", str(identity), **options
    )
    assert restored.exit_code == 0, restored.output
    with statements_on(empty_database_url) as there:
        assert there(BALANCES) == sql(BALANCES)
    assert storage.refused == 0


def test_a_file_of_several_parts_comes_back_as_it_was(
    storage: Storage, options: dict[str, str], tmp_path: Path
) -> None:
    store = S3Store(options["BACKUP_TO"], {name: options[name] for name in options if name.startswith("AWS")})
    file, again = tmp_path / "file", tmp_path / "again"
    file.write_bytes(bytes(range(256)) * 60_000)  # 15 MB
    with pytest.raises(Exception, match="is not what was sent"):
        store.put(file, "big", "another checksum", None)
    store.fetch("big", again)
    assert again.read_bytes() == file.read_bytes()
    assert storage.uploads == 1


def test_storage_that_changes_what_it_stores_has_no_proven_backup(
    ballast: Ballast, people: None, storage: Storage, options: dict[str, str]
) -> None:
    storage.loses = ".tar"
    done = ballast("backup", **options)
    assert done.exit_code == 1
    assert "what is stored is not what was sent" in done.stderr
    storage.loses = ""
    assert [each["note"] for each in listed(ballast, **options)] == [None]


def test_what_the_storage_refuses_is_said_in_a_sentence(
    ballast: Ballast, people: None, storage: Storage, options: dict[str, str]
) -> None:
    wrong = ballast("backups", **{**options, "AWS_SECRET_ACCESS_KEY": "another"})
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith(f"ballast: s3://{BUCKET}/my bots/one: ")
    assert storage.refused == 1
    assert "another" not in wrong.stderr
    no_bucket = ballast("backups", **{**options, "BACKUP_TO": "s3://nowhere/x"})
    assert no_bucket.exit_code == 1
    missing = ballast("backups", **{**options, "AWS_ACCESS_KEY_ID": ""})
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set" in missing.stderr


def test_storage_that_is_down_is_said_and_the_backup_does_not_count(
    ballast: Ballast, people: None, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ballast.backups.s3._RETRY_SECONDS", 2)
    done = ballast("backup", **{**options, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"})
    assert done.exit_code == 1
    assert done.stderr.startswith(f"ballast: s3://{BUCKET}/my bots/one: ")
    assert "Traceback" not in done.output


def test_a_backup_killed_while_it_is_sent_never_counts_and_the_next_one_clears_up(
    ballast: Ballast,
    environment: dict[str, str],
    people: None,
    storage: Storage,
    options: dict[str, str],
    tmp_path: Path,
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    storage.holds = True
    process = subprocess.Popen(
        [sys.executable, "-m", "ballast", "backup"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(work),
            **environment,
            **options,
            "BACKUP_PROGRAMS": str(programs_folder()),
        },
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    assert storage.held.wait(120)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    storage.holds = False
    assert listed(ballast, **options) == []
    assert [*work.iterdir()] != []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(work))
        made = eventually(lambda: (done := ballast("backup", **options)).exit_code == 0 and done)
    assert "proven" in made.stdout
    assert [*work.iterdir()] == []
    assert [backup["note"] is not None for backup in listed(ballast, **options)] == [True]
