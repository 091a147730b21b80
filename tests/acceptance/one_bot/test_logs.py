"""One id leads through the logs of all processes that had a command in hand."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.harness.people import all_settled, confirm, register, say

SECRETIVE = "a memo that is nobody's business"


def lines_of(stack: Stack, name: str, job_id: str) -> list[dict[str, Any]]:
    """The lines that name the job; each must be JSON."""
    return [json.loads(line) for line in stack.log(name).splitlines() if job_id in line]


def taken(stack: Stack, update_id: int) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in stack.log("frontend").splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "taken" and line["update_id"] == update_id]


async def test_one_id_follows_a_command_through_frontend_worker_and_reply(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    sent = await confirm(telegram, await say(telegram, ADMIN_ID, f"/credit {alice} 5 {SECRETIVE}"))
    assert sent.update_id is not None
    answered = await telegram.wait_for_message(alice, lambda message: SECRETIVE in message.text)
    await all_settled(stack, telegram)

    (at_intake,) = taken(stack, sent.update_id)
    job_id = at_intake["job_id"]
    assert (at_intake["kind"], at_intake["how"]) == ("balances.decide_adjustment", "accepted")
    await asyncio.to_thread(
        stack.wait_until,
        lambda: any(line["event"] == "job_done" for line in lines_of(stack, "main", job_id)),
        "the job's end is in the log",
    )
    in_worker = lines_of(stack, "main", job_id)
    assert [line["event"] for line in in_worker] == ["job_done"]
    assert in_worker[0]["kind"] == "balances.decide_adjustment"
    assert len(in_worker[0]["message_ids"]) == 2
    assert answered.message_id in in_worker[0]["message_ids"]
    for line in in_worker:
        assert (line["update_id"], line["attempt"]) == (sent.update_id, 1)
        assert {"level", "logger", "timestamp"} <= line.keys()
    for name in ("frontend", "main", "light"):
        assert SECRETIVE not in stack.log(name)
