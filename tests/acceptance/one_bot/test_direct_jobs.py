"""On a quiet bot a command goes straight to a process that waits, without a message of Celery's; also if that process
is killed or frozen just then.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil

from ballast.inbox import Inbox
from ballast.queueing import worker_drains
from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.harness.people import (
    ANSWER_SECONDS_MAX,
    all_settled,
    ask_credits,
    assert_audit_passes,
    balances,
    confirm,
    register,
    say,
    transfers,
)
from tests.harness.worker_deaths import lock_account, waits_for_a_lock

COMMANDS = 5
MAIN = f"main@{socket.gethostname()}"


class Direct:
    """The pids of the processes that are handed a job meanwhile."""

    def __init__(self, stack: Stack) -> None:
        self._listening = stack.redis.pubsub()  # type: ignore[no-untyped-call]  # redis-py has none
        self._listening.psubscribe("ballast:inbox:direct:*")
        assert self._listening.get_message(timeout=5) is not None

    def close(self) -> None:
        self._listening.reset()

    def pids(self) -> list[int]:
        found = []
        while (message := self._listening.get_message(timeout=0.2)) is not None:
            found.append(int(_text(message["channel"]).split(":")[4]))
        return found


def _text(value: object) -> str:
    assert isinstance(value, bytes)
    return value.decode()


@contextmanager
def listening(stack: Stack) -> Iterator[Direct]:
    made = Direct(stack)
    try:
        yield made
    finally:
        made.close()


def next_one(stack: Stack) -> int | None:
    """The pid of the process that would be handed the next job; None if there is none."""
    idle = stack.redis.zrevrange("ballast:inbox:idle", 0, 0)
    pid = int(_text(idle[0]).split(":")[1]) if idle else 0
    return pid if pid in {child.pid for child in psutil.Process(stack.pid("main")).children()} else None


async def waiting_process(stack: Stack, telegram: TelegramControl, person: int) -> int:
    """The pid of one that waits for a job, and will be handed the next one."""
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        while True:
            await say(telegram, person, "/balance")
            await all_settled(stack, telegram)
            pid = next_one(stack)
            if pid is not None:
                return pid


async def credit_to_confirm(stack: Stack, telegram: TelegramControl, person: int) -> tuple[SeenMessage, int]:
    """A card that waits for Confirm, and the pid of the process that will be handed that press."""
    (card,) = await ask_credits(telegram, 1)
    await all_settled(stack, telegram)
    return card, await waiting_process(stack, telegram, person)


async def test_commands_go_straight_to_a_process_that_waits(stack: Stack, telegram: TelegramControl) -> None:
    (alice,) = await register(telegram, "Alice")
    await waiting_process(stack, telegram, alice)
    with listening(stack) as direct:
        for _ in range(COMMANDS):
            assert "Your balance" in (await say(telegram, alice, "/balance")).text
            await all_settled(stack, telegram)
        assert len(direct.pids()) == COMMANDS


async def test_a_process_that_was_killed_while_it_waited_is_handed_nothing(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    pid = await waiting_process(stack, telegram, alice)
    owner = _text(stack.redis.zrevrange("ballast:inbox:idle", 0, 0)[0]).partition(" ")[0]
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(
        stack.wait_until,
        lambda: stack.redis.pubsub_numsub(Inbox.direct_channel(owner))[0][1] == 0,
        "its kernel has closed the connections of the dead process",
    )
    with listening(stack) as direct:
        assert "Your balance" in (await say(telegram, alice, "/balance")).text
        await all_settled(stack, telegram)
        assert pid not in direct.pids()


async def test_a_process_that_is_frozen_when_it_is_handed_a_job_does_nothing_twice_later(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    card, pid = await credit_to_confirm(stack, telegram, alice)
    os.kill(pid, signal.SIGSTOP)
    try:
        with listening(stack) as direct:
            await confirm(telegram, card)
            await telegram.wait_for_message(
                alice,
                lambda message: "You were credited 1.00" in message.text,
                timeout_seconds=ANSWER_SECONDS_MAX,
            )
            assert pid in direct.pids()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert "Your balance" in (await say(telegram, alice, "/balance")).text
    await all_settled(stack, telegram)
    assert (balances(stack)[alice], transfers(stack, "credit", of=alice)) == (100, 1)
    assert_audit_passes(stack)


async def test_a_process_that_dies_at_work_on_a_job_it_was_handed_loses_and_doubles_nothing(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    card, pid = await credit_to_confirm(stack, telegram, alice)
    with ExitStack() as locking, listening(stack) as direct:
        lock_account(stack, alice, locking)
        await confirm(telegram, card)
        await asyncio.to_thread(
            stack.wait_until, lambda: waits_for_a_lock(stack), "the credit waits for a lock"
        )
        assert pid in direct.pids()
        os.kill(pid, signal.SIGKILL)
    await telegram.wait_for_message(
        alice, lambda message: "You were credited 1.00" in message.text, timeout_seconds=ANSWER_SECONDS_MAX
    )
    await all_settled(stack, telegram)
    assert (balances(stack)[alice], transfers(stack, "credit", of=alice)) == (100, 1)
    assert_audit_passes(stack)


async def test_a_worker_that_is_drained_is_handed_nothing(stack: Stack, telegram: TelegramControl) -> None:
    (alice,) = await register(telegram, "Alice")
    pid = await waiting_process(stack, telegram, alice)
    accepted = ("ballast:totals", "jobs_accepted|balances.show")
    before = stack.redis.hget(*accepted)
    stack.redis.hset(worker_drains.DRAINS, MAIN, json.dumps({"by": "test", "at": 0}))
    try:
        with listening(stack) as direct:
            await telegram.send_text(alice, "/balance")
            await asyncio.to_thread(
                stack.wait_until,
                lambda: stack.redis.hget(*accepted) != before,
                "the command is on record",
            )
            assert pid not in direct.pids()
    finally:
        worker_drains.resume(stack.redis, MAIN)
    await all_settled(stack, telegram)


async def test_after_its_connections_are_cut_jobs_are_handed_over_again(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    await waiting_process(stack, telegram, alice)
    stack.redis.client_kill_filter(_type="pubsub")
    assert "Your balance" in (await say(telegram, alice, "/balance")).text
    pid = await waiting_process(stack, telegram, alice)
    with listening(stack) as direct:
        await say(telegram, alice, "/balance")
        assert pid in direct.pids()
    await all_settled(stack, telegram)
