"""A database belongs to the bot that migrated it first."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbcore.__main__ import main


def migrated_by(monkeypatch: pytest.MonkeyPatch, url: str, token: str | None, *arguments: str) -> int:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", token or "")
    return main(["migrate", *arguments])


def test_another_bots_migration_is_refused_in_one_line_until_it_takes_over(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # where no `make run` has left its token
    assert migrated_by(monkeypatch, database_url, None) == 0
    assert migrated_by(monkeypatch, database_url, "111:SECRET") == 0
    assert migrated_by(monkeypatch, database_url, "111:ANOTHER") == 0
    capsys.readouterr()
    assert migrated_by(monkeypatch, database_url, "222:SECRET") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "belongs to bot 111" in said
    assert "--take-over" in said
    assert "SECRET" not in said
    assert migrated_by(monkeypatch, database_url, "222:SECRET", "--take-over") == 0
    assert migrated_by(monkeypatch, database_url, "222:SECRET") == 0
    assert migrated_by(monkeypatch, database_url, "111:SECRET") == 2
