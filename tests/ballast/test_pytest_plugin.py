"""The pytest plugin, as the author of a bot without Ballast has it. tests/package has one with an app of Ballast."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from devstack.stack import ROOT

OWN_BOT = Path(__file__).with_name("own_bot")


def run(*argv: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write_running_env(folder: Path) -> None:
    """As `ballast run` does while it is up there."""
    (folder / ".ballast").mkdir()
    (folder / ".ballast/running.env").write_text(
        "TELEGRAM_BOT_TOKEN=436977954:ANOTHER\nBALLAST_SCHEMA=elsewhere\n"
    )


def test_it_imports_nothing_until_a_fixture_is_asked_for(tmp_path: Path) -> None:
    program = (
        "import pytest, sys; before = set(sys.modules); import ballast.pytest_plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = run("-c", program, folder=tmp_path)
    assert done.stdout.split() == ["ballast", "ballast.pytest_plugin"], done.stderr


def test_the_tests_of_somebodys_own_bot_act_and_read_and_say_what_was_read_instead(tmp_path: Path) -> None:
    for name in ("bot.py", "check_bot.py", "check_guard.py"):
        shutil.copy(OWN_BOT / name, tmp_path)
    write_running_env(tmp_path)
    options = ["-p", "ballast.pytest_plugin", "-p", "no:cacheprovider", "-q", "-n", "2", "--dist", "loadfile"]
    done = run("-m", "pytest", *options, "check_bot.py", "check_guard.py", folder=tmp_path)
    assert "1 failed, 4 passed" in done.stdout, done.stdout + done.stderr
    assert (
        "AssertionError: Anna did not read 'Which rug?' within 0.5 s. What is there:\n"
        "E           Anna: /start\n"
        "E           the bot: A lamp? [Yes, please]  (read before)\n"
        "E           Anna: a rug\n"
        "E           the bot: Said: a rug  (read before)\n"
    ) in done.stdout, done.stdout
    assert '>       await anna.reads("Which rug?", within=0.5)\nE ' in done.stdout, (
        "it shows the test's own line, and none of the plugin's"
    )


def test_settings_that_lead_to_other_servers_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(
        "import pytest\n"
        "@pytest.fixture(scope='session')\n"
        "def ballast_settings():\n"
        "    return {'BALLAST_APPS': 'shop', 'DATABASE_URL': 'postgresql://the-real-one/'}\n"
        "def test_shop(telegram): pass\n"
    )
    done = run("-m", "pytest", "-p", "ballast.pytest_plugin", "-p", "no:cacheprovider", "-q", folder=tmp_path)
    said = "ballast_settings: DATABASE_URL: the tests have servers of their own"
    assert done.stdout.count(said) == 1, done.stdout
    assert "Traceback" not in done.stdout + done.stderr
