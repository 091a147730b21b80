"""A queue that an operator paused: its jobs wait, their users are told, and other queues go on, also after deaths."""

from __future__ import annotations

import asyncio
import json
import sys

from ballast.queueing import queue_pauses
from devstack.stack import ROOT, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness.people import all_settled, answers, assert_audit_passes, register, say


async def ballast(stack: Stack, *arguments: str) -> str:
    """In the shell; what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ballast", *arguments),
        cwd=ROOT,
        env=stack.env,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said
    return said.decode()


async def test_jobs_of_a_paused_queue_wait_through_deaths_and_are_done_once_it_is_resumed(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack()
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    (alice,) = await register(telegram, "Alice", credit="20")
    await all_settled(stack, telegram)
    await ballast(stack, "queues", "pause", "users")
    await asyncio.sleep(5)  # every worker knows within four seconds
    dora = await telegram.create_user("Dora", username="dora")
    notice = await say(telegram, dora.id, "/start")
    assert "paused for maintenance" in notice.text and "/start is saved" in notice.text
    assert "20" in (await say(telegram, alice, "/balance")).text, "other queues go on"
    for name in ("main", "light"):
        stack.kill(name)
    stack.start("main", "light")
    sent = await telegram.send_text(alice, "/balance")
    await telegram.wait_for_message(
        alice, lambda message: "20.00" in message.text, after=sent.message.revision
    )
    assert len(await answers(telegram, dora.id)) == 1, "it waits"
    users = next(
        each
        for each in json.loads(await ballast(stack, "queues", "list", "--json"))
        if each["name"] == "users"
    )
    assert users["paused_by"] and users["paused_seconds"] > 0
    await ballast(stack, "queues", "resume", "users")
    await all_settled(stack, telegram)
    assert queue_pauses.read(stack.redis) == {}
    (answer,) = await answers(telegram, dora.id)
    assert "saved" not in answer, "the answer took the notice's place"
    acts = stack.query("SELECT action, target, outcome FROM admin_actions ORDER BY id")
    assert acts[-2:] == [("queue.pause", "users", "done"), ("queue.resume", "users", "done")]
    assert_audit_passes(stack)
