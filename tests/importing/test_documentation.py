"""docs/import.md: its files, commands and what they print."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from ballast.cli import importing
from ballast.cli.main import cli
from dbcore.guard.engine import GuardedEngine
from dbcore.settings import Settings
from tests.acceptance.test_guides import blocks


def test_each_command_prints_what_the_page_says(
    engine: GuardedEngine, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people, wrong = [block for block in blocks("import.md") if block.startswith("telegram_id,")]
    (tmp_path / "people.csv").write_text(people)
    (tmp_path / "wrong.csv").write_text(wrong)
    monkeypatch.chdir(tmp_path)
    # The real one also sets up this process's logs.
    monkeypatch.setattr(importing, "open_database", lambda: (engine, settings))
    commands = [block for block in blocks("import.md") if block.startswith("$ ballast import")]
    assert len(commands) == 5
    for block in commands:
        command, *expected = block.splitlines()
        ended = CliRunner().invoke(cli, shlex.split(command)[2:], prog_name="ballast")
        printed = ended.stdout.splitlines()
        assert [line for line in printed if not line.startswith("audit")] == [
            line for line in expected if not line.startswith("audit")
        ]
        assert ended.exit_code == ("Nothing was imported" in ended.stdout)


def test_a_time_zone_that_is_none_is_refused() -> None:
    line = ["import", "people.csv", "--source", "shop", "--zone", "Atlantis"]
    ended = CliRunner().invoke(cli, line, prog_name="ballast")
    assert ended.exit_code == 2
    assert "expected a time zone such as Europe/Berlin; got 'Atlantis'" in ended.stderr
