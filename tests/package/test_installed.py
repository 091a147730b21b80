"""Ballast from its wheel, run from a folder that has nothing of it."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ballast
from dbcore.ledger.audit import CHECK_NAMES
from dbcore.migrate import newest_revision
from dbcore.schema import TABLE_NAMES
from devstack.ports import free_port
from devstack.programs import Program
from devstack.readiness import status_of
from devstack.stack import ADMIN_ID, TOKEN, Stack
from devstack.telegram.control import TelegramControl
from tests.harness.people import register, say
from tests.harness.wheels import Installed

TRAP = "raise ImportError('this is somebody else\\'s package')\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose own package has the name of one of ours, as many have a `workers`."""
    folder = tmp_path / "elsewhere"
    (folder / "workers").mkdir(parents=True)
    (folder / "workers/__init__.py").write_text(TRAP)
    return folder


def test_the_command_comes_from_the_wheel(installed: Installed, folder: Path) -> None:
    said = installed.run(installed.ballast, "--version", cwd=folder)
    assert (said.returncode, said.stdout) == (0, f"ballast {ballast.__version__}\n"), said.stderr
    program = (
        "import ballast, bot_frontend, dbcore, devstack, workers;"
        "print(*(package.__file__ for package in (ballast, bot_frontend, dbcore, devstack, workers)))"
    )
    found = installed.run(installed.python, "-P", "-c", program, cwd=folder)
    assert all(path.startswith(str(installed.folder)) for path in found.stdout.split()), found.stderr


def test_a_database_is_migrated_proved_and_shown(
    installed: Installed, folder: Path, empty_database_url: str
) -> None:
    def told(*arguments: str) -> Any:
        done = installed.run(
            installed.ballast, *arguments, "--json", cwd=folder, DATABASE_URL=empty_database_url
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert told("migrate") == {"revision": newest_revision()}
    proved = told("audit")
    assert proved["ok"] is True
    assert [check["name"] for check in proved["checks"]] == list(CHECK_NAMES)
    shown = told("status")
    assert shown["revision"] == newest_revision()
    assert shown["rows"].keys() == set(TABLE_NAMES)
    assert None not in shown["rows"].values()


@pytest.fixture
def stack(installed: Installed, folder: Path, database_url: str, redis_url: str) -> Iterator[Stack]:
    """Whose processes are those of the wheel; none is started yet."""
    telegram_port, flower_port = free_port(), free_port()
    stack = Stack(
        folder,
        database_url=database_url,
        redis_url=redis_url,
        telegram_url=f"http://127.0.0.1:{telegram_port}",
        FLOWER_PORT=str(flower_port),
    )
    del stack.env["PYTHONPATH"]
    yield stack
    stack.stop_all()


def start(stack: Stack, installed: Installed, *arguments: str) -> None:
    stack.run(arguments[0], Program(arguments[0], [installed.ballast, *arguments], stop_seconds=20))


async def test_its_processes_answer_a_command(stack: Stack, installed: Installed) -> None:
    port = stack.env["TELEGRAM_API_URL"].rpartition(":")[2]
    start(
        stack, installed, "telegram", "--data", "telegram", "--port", port, "--admin", str(ADMIN_ID), "1002"
    )
    start(stack, installed, "worker", "--name", "main", "--concurrency", "1", "--", "--loglevel", "info")
    start(stack, installed, "flower", "--address", "127.0.0.1")
    start(stack, installed, "frontend")
    await asyncio.to_thread(stack.wait_ready, processes=1)
    flower_port = int(stack.env["FLOWER_PORT"])
    # It gives way to the others while they start.
    await asyncio.to_thread(
        stack.wait_until,
        lambda: status_of("127.0.0.1", flower_port, "/healthcheck") == 200,
        "Flower answers",
    )
    async with TelegramControl(stack.env["TELEGRAM_API_URL"]) as telegram:
        (alice,) = await register(telegram, "Alice")
        assert "0.00" in (await say(telegram, alice, "/balance")).text

    status, _ = fetched(flower_port, "/workers", accept="*/*")
    assert status == 401, "its own settings hold in any folder"
    assert "FLOWER_BASIC_AUTH is not set" in stack.log("flower")
    status, page = fetched(stack.ops_port, "/", accept="text/html")
    assert (status, "Ballast</title>" in page) == (200, True)

    def told(*arguments: str) -> Any:
        done = installed.run(installed.ballast, *arguments, cwd=stack.folder, **stack.env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert told("breaker", "--json")["state"] == "closed"
    assert told("jobs", "list", "--json") == []
    assert told("broadcast", "list", "--json") == []
    assert stack.stop("worker") == 0, stack.log("worker")
    assert stack.stop("frontend") == -signal.SIGTERM, stack.log("frontend")  # as uvicorn ends
    assert TOKEN not in stack.log("worker") + stack.log("frontend")


def fetched(port: int, path: str, *, accept: str) -> tuple[int, str]:
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  http
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
