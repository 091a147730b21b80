"""From release 0.1.0 to this one, as docs/deploy.md has it, while people go on: nothing is lost, nothing done twice.

`release-0.1.0.tar.xz` holds the packages of that release as they were: bot_frontend, workers, dbcore and
celeryconfig.py. They run with the libraries of this one.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from devstack import programs
from devstack.programs import Program
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.acceptance.conftest import MakeStack
from tests.harness.people import (
    all_settled,
    answers,
    assert_audit_passes,
    balances,
    register,
    transfers,
)

pytestmark = pytest.mark.timeout(600)

ARCHIVE = Path(__file__).parent / "release-0.1.0.tar.xz"
OLD_QUEUES = {"main": ("users,balances,transactions,broadcasts", "2"), "light": ("replies,health", "1")}

START_CREDIT = 10_000
ROUNDS_PER_STEP = 2
"""Transfers that each of those who go on makes in each step of the upgrade, at least."""

FILLED = 10
"""Commands that wait, for each of those who write while no worker lives."""


@dataclass
class OldRelease:
    """How the processes of 0.1.0 are started, and its commands run."""

    folder: Path
    stack: Stack

    def start(self, *names: str) -> None:
        for name in names:
            self.stack.run(f"old {name}", self._program(name))

    def command(self, *argv: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *argv],
            env={**self.stack.env, "PYTHONPATH": str(self.folder)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _program(self, name: str) -> Program:
        env = {"PYTHONPATH": str(self.folder)}
        if name == "frontend":
            return replace(programs.frontend(), env=env)
        queues, concurrency = OLD_QUEUES[name]
        celery = [sys.executable, "-m", "celery", "-A", "workers", "worker"]
        argv = [*celery, "-n", f"old-{name}@%h", "-Q", queues, "--concurrency", concurrency]
        return Program(name, argv, stop_seconds=20, env=env)


@dataclass
class GoingOn:
    """People who send money to each other again and again. `confirmed` counts what the bot said was sent, by person."""

    telegram: TelegramControl
    confirmed: Counter[int] = field(default_factory=Counter)
    stop: bool = False

    async def one(self, person: int, to: int) -> None:
        while not self.stop:
            sent = await self.telegram.send_text(person, f"/send {to} 0.01")
            card = await self.telegram.wait_for_message(
                person,
                lambda message: "Confirm" in str(message.buttons),
                after=sent.message.revision,
                timeout_seconds=120,
            )
            await self.telegram.press_button(person, card, "Confirm")
            await self.telegram.wait_for_message(
                person, partial(says_sent, card), after=card.revision, timeout_seconds=120
            )
            self.confirmed[person] += 1

    async def some_more(self) -> None:
        """Until everybody has made a few more transfers."""
        goals = {person: count + ROUNDS_PER_STEP for person, count in self.confirmed.items()}
        async with asyncio.timeout(240):
            while any(self.confirmed[person] < goal for person, goal in goals.items()):
                await asyncio.sleep(0.05)


@asynccontextmanager
async def going_on(telegram: TelegramControl, people: list[int]) -> AsyncIterator[GoingOn]:
    load = GoingOn(telegram, Counter(dict.fromkeys(people, 0)))
    async with asyncio.TaskGroup() as group:
        for person, to in zip(people, [*people[1:], people[0]], strict=True):
            group.create_task(load.one(person, to))
        yield load
        load.stop = True


@pytest.fixture
def old(tmp_path: Path, make_stack: MakeStack, empty_database_url: str) -> OldRelease:
    folder = tmp_path / "release-0.1.0"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return OldRelease(folder, make_stack(database_url=empty_database_url))


async def test_an_upgrade_under_load_loses_nothing_and_does_nothing_twice(
    old: OldRelease, telegram: TelegramControl
) -> None:
    stack = old.stack
    old.command("dbcore", "migrate")
    old.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    people = await register(telegram, "Ann", "Ben", "Cem", "Dina")
    writers = await register(telegram, "Eve", "Fay")
    await telegram.send_text(ADMIN_ID, "/start")
    for person in (*people, *writers):
        await telegram.send_text(ADMIN_ID, f"/credit {person} {START_CREDIT / 100:.2f} start")
    await all_settled(stack, telegram)
    assert {balances(stack)[person] for person in (*people, *writers)} == {START_CREDIT}

    async with going_on(telegram, people) as load:
        await load.some_more()
        migrated = await asyncio.to_thread(stack.command, "dbcore", "migrate")
        assert migrated.returncode == 0, migrated.stderr
        await load.some_more()  # the old release goes on beside the new schema

        # While no worker lives the inbox fills up with jobs of the old frontend.
        await asyncio.to_thread(stack.kill, "old main")
        await asyncio.to_thread(stack.stop, "old light")
        for writer in writers:
            for number in range(FILLED):
                await telegram.send_text(writer, f"/send {people[0]} 1.{number:02}")
        await asyncio.to_thread(
            stack.wait_until,
            lambda: stack.redis.zcard("ballast:inbox:all") >= FILLED * len(writers),
            "what is written is on record",
        )
        stack.start("main", "light", "bulk")
        await load.some_more()

        await asyncio.to_thread(stack.stop, "old frontend")
        stack.start("frontend")
        await asyncio.to_thread(stack.wait_ready, processes=4)
        await load.some_more()
    await all_settled(stack, telegram)

    for person in people:
        assert transfers(stack, of=person) == load.confirmed[person] + load.confirmed[before(person, people)]
    assert transfers(stack) == sum(load.confirmed.values())
    for writer in writers:
        cards = [text for text in await answers(telegram, writer) if "1.0" in text]
        assert len(cards) == FILLED, "each command that waited was answered once"
    assert stack.query("SELECT * FROM failed_operations") == []
    assert sum(balances(stack).values()) == START_CREDIT * (len(people) + len(writers))
    assert_audit_passes(stack)


def says_sent(card: SeenMessage, message: SeenMessage) -> bool:
    return message.message_id == card.message_id and "Sent" in message.text


def before(person: int, people: list[int]) -> int:
    """Who sends to this one."""
    return people[people.index(person) - 1]
