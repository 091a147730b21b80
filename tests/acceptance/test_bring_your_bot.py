"""docs/bring-your-bot.md works as it stands, from a bot's own database to its people's answers, and back."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from click import Command, Context

from ballast.cli.main import cli
from devstack.programs import Program
from devstack.stack import ROOT, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.acceptance.test_guides import blocks, converse, run_commands, write_files
from tests.harness.bots_database import SCHEMA
from tests.harness.people import all_settled, assert_audit_passes, balances

PAGE = "bring-your-bot.md"
INTRO, APP, BESIDE, SWITCH, MONEY, ONCE, BACK = (
    "Bring your bot",
    "1. Make an app of it",
    "2. Put Ballast's tables beside yours",
    "3. Switch over",
    "4. Move the money",
    "5. Send exactly once",
    "Back to the old bot",
)


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    return empty_database_url


def lines(section: str, first: str) -> list[str]:
    """Of the section's block that begins so, without remarks."""
    (block,) = [block for block in blocks(PAGE, section) if block.startswith(first)]
    return [line.partition("#")[0].strip() for line in block.splitlines()]


def make_its_tables(stack: Stack, *people: int) -> None:
    """In the second terminal beside `ballast run`, and then what an old bot's database has."""
    running = stack.folder / ".ballast/running.env"
    running.parent.mkdir()
    running.write_text(f"DATABASE_URL='{stack.database_url}'\n")
    subprocess.run(
        ["bash", "-ec", "\n".join(lines(APP, "set -a"))],
        cwd=stack.folder,
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )
    stack.query("CREATE TABLE public.alembic_version (version_num varchar(32) PRIMARY KEY)")
    stack.query("INSERT INTO public.items VALUES ('lamp', 3.50, 1), ('rug', 20, 5)")
    for person in people:
        stack.query("INSERT INTO public.people VALUES (%s, 'Ann', 12.50)", person)


def start(stack: Stack, *names: str) -> None:
    """The page's commands that have one of these names, each a process."""
    for command in lines(SWITCH, "ballast frontend"):
        words = shlex.split(command)
        if words[-1] in names:
            stack.run(words[-1], Program(words[-1], [sys.executable, "-m", *words], stop_seconds=20))
    stack.wait_ready(processes=2)


def test_each_process_of_the_page_is_a_command() -> None:
    started = [shlex.split(command) for command in lines(SWITCH, "ballast frontend")]
    assert len(started) == 5
    for _, name, *arguments in started:
        command = cli.get_command(Context(cli), name)
        assert isinstance(command, Command)
        command.make_context(name, arguments)


async def test_each_step_of_the_move_works(make_stack: MakeStack, telegram: TelegramControl) -> None:
    stack = make_stack(BALLAST_APPS="shopbot.bot", BALLAST_SCHEMA=SCHEMA)
    ann, boris = [(await telegram.create_user(name)).id for name in ("Ann", "Boris")]
    write_files(PAGE, stack.folder, INTRO)
    write_files(PAGE, stack.folder, APP)
    make_its_tables(stack, ann, boris)
    run_commands(PAGE, stack, BESIDE)
    start(stack, "frontend", "main")
    await converse(PAGE, telegram, ann, SWITCH)
    await all_settled(stack, telegram)
    stack.stop("frontend")
    stack.stop("main")

    run_commands(PAGE, stack, MONEY)
    write_files(PAGE, stack.folder, MONEY)
    write_files(PAGE, stack.folder, ONCE)
    start(stack, "frontend", "main")
    await converse(PAGE, telegram, ann, MONEY)
    await converse(PAGE, telegram, ann, ONCE)
    await all_settled(stack, telegram)
    assert balances(stack) == {ann: 900, boris: 1250}
    assert stack.query('SELECT "left" FROM public.items ORDER BY name') == [(0,), (5,)]
    assert_audit_passes(stack)

    (written_back,) = [block for block in blocks(PAGE, BACK) if block.strip().startswith("UPDATE")]
    written_back = written_back.replace("UPDATE people", "UPDATE public.people").replace(
        "ballast.", f"{SCHEMA}."
    )
    stack.query(written_back)
    people = stack.query("SELECT balance FROM public.people ORDER BY balance")
    assert people == [(Decimal("9.00"),), (Decimal("12.50"),)]


def test_the_pages_own_test_passes(tmp_path: Path) -> None:
    write_files(PAGE, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "ballast.pytest_plugin", "-p", "no:cacheprovider", "-q"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
