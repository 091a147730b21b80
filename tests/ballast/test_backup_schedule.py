"""When a backup is due, who starts it, and what is known of the last ones."""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from ballast.backups import record
from ballast.backups.schedule import BackupStarter
from ballast.backups.stores import FolderStore, Note
from dbcore.settings import Settings
from tests.conftest import MakeSettings


def note(hours_ago: float) -> Note:
    taken = datetime.now(UTC) - timedelta(hours=hours_ago)
    name = f"ballast-1-{taken:%Y%m%dT%H%M%SZ}-0000.tar"
    return Note(
        name=name, taken_at=f"{taken:%Y-%m-%dT%H:%M:%SZ}", proven_at="", bytes=5, sha256="", sealed=False, checks=19,
        inbox=0, revision="", server_version="", ballast="",
    )  # fmt: skip


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was started, instead of what takes minutes."""
    commands: list[list[str]] = []
    real = subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:
        commands.append(command[1:])
        return real(["true"], **options)

    monkeypatch.setattr(subprocess, "Popen", start)
    return commands


@pytest.fixture
def settings(make_settings: MakeSettings, tmp_path: Path) -> Settings:
    return make_settings(backup_to=str(tmp_path / "kept"), backup_every_hours=6)


def again(client: redis.Redis) -> None:
    """As if the time of a look, and that until another try, were over."""
    client.delete("ballast:backup:claim")
    client.hset(record.KEY, "tried_at", 0)


def test_one_is_begun_when_there_is_none_by_one_of_several_workers(
    client: redis.Redis, settings: Settings, started: list[list[str]]
) -> None:
    starters = [BackupStarter(client, settings) for _ in range(3)]
    assert [starter.look() for starter in starters] == [True, False, False]
    assert started == [["-m", "ballast", "backup"]]
    assert not BackupStarter(client, settings).look()


@pytest.mark.parametrize(("hours_ago", "is_due"), [(5.9, False), (6.1, True)])
def test_one_is_due_by_the_age_of_the_last_proven_one(
    client: redis.Redis, settings: Settings, started: list[list[str]], hours_ago: float, is_due: bool
) -> None:
    record.keep_proven(client, note(hours_ago), "here")
    record.keep_failed(client, "a run in between made none")
    assert BackupStarter(client, settings).look() is is_due


def test_a_redis_that_knows_of_none_asks_the_store(
    client: redis.Redis, settings: Settings, started: list[list[str]], tmp_path: Path
) -> None:
    kept = note(1)
    (tmp_path / "kept").mkdir()
    (tmp_path / "file").write_text("12345")
    FolderStore(tmp_path / "kept").put(tmp_path / "file", kept.name, "", kept)
    assert not BackupStarter(client, settings).look()
    proven = record.read(client).proven
    assert proven is not None
    assert proven.name == kept.name


def test_after_a_failure_it_is_tried_again_later(
    client: redis.Redis, settings: Settings, started: list[list[str]]
) -> None:
    starter = BackupStarter(client, settings)
    assert starter.look()
    assert starter.running is not None
    starter.running.wait()
    record.keep_failed(client, "no room")
    client.delete("ballast:backup:claim")
    assert not starter.look()
    again(client)
    assert starter.look()


def test_without_a_place_or_a_period_none_is_made_and_none_is_missed(
    client: redis.Redis, make_settings: MakeSettings, started: list[list[str]]
) -> None:
    for settings in (make_settings(), make_settings(backup_to="kept", backup_every_hours=0)):
        assert not BackupStarter(client, settings).look()
        assert record.read(client).expected is None


def test_it_is_overdue_by_its_age_and_from_the_schedules_beginning(
    client: redis.Redis, settings: Settings, started: list[list[str]]
) -> None:
    BackupStarter(client, settings).look()
    known, now = record.read(client), time.time()
    assert not known.is_overdue(now)
    assert known.is_overdue(now + 13.5 * 3600)  # twice six hours, and one
    record.keep_proven(client, note(13.5), "here")
    assert record.read(client).is_overdue(now)
    record.keep_proven(client, note(1), "here")
    assert not record.read(client).is_overdue(now)


def test_a_proven_backup_ends_what_a_failed_one_said(client: redis.Redis) -> None:
    record.keep_failed(client, "x" * 1000)
    failed = record.read(client).failed
    assert failed is not None
    assert len(failed.error) == 300
    record.keep_proven(client, note(0), "here")
    assert record.read(client).failed is None
