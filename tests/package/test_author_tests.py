"""An author's tests of an app, with the pytest plugin of the wheel, in an environment of its own."""

from __future__ import annotations

import secrets
from pathlib import Path

import psutil

from tests.acceptance.test_guides import write_files
from tests.ballast.test_pytest_plugin import write_running_env
from tests.harness.wheels import Installed

FAILING = """
async def test_that_fails(telegram):
    anna = telegram.user("Anna")
    assert "redeem" in anna.menu()
    anna.say("/redeem NONE")
    await anna.reads("not valid")
    await anna.reads("Redeemed: 5.00 CREDIT", within=0.5)
"""


def test_the_guides_tests_pass_and_one_that_fails_shows_what_was_read(
    installed: Installed, tmp_path: Path
) -> None:
    write_files("extending.md", tmp_path)
    write_running_env(tmp_path)
    with (tmp_path / "test_shop.py").open("a") as file:
        file.write(FAILING)
    mark = secrets.token_hex(8)
    options = ["-p", "no:cacheprovider", "-q"]
    done = installed.run(installed.python, "-m", "pytest", *options, cwd=tmp_path, AUTHORS_OWN=mark)
    assert "1 failed, 4 passed" in done.stdout, done.stdout + done.stderr
    assert (
        "AssertionError: Anna did not read 'Redeemed: 5.00 CREDIT' within 0.5 s. What is there:\n"
        "E           Anna: /redeem NONE\n"
        "E           the bot: That code is not valid.  (read before)\n"
    ) in done.stdout, done.stdout
    assert still_running(mark) == []


def still_running(mark: str) -> list[str]:
    """Programs that were started with the variable AUTHORS_OWN."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("AUTHORS_OWN") == mark:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found
