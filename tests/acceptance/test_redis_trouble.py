"""Redis that refuses writes, is full, or is another bot's; and a message that ends whoever takes it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
import redis

from ballast.inbox import Inbox
from ballast.inbox.limits import SIZE_MAX
from devstack.ports import free_port
from devstack.redis import EmbeddedRedis
from devstack.stack import ROOT, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.acceptance.messages import message
from tests.harness.people import (
    all_settled,
    ask_credits,
    assert_audit_passes,
    balances,
    confirm,
    register,
)
from tests.harness.queueing import fill_inbox
from workers.losses import LOSSES_MAX

SETTLED_SECONDS_MAX = 60.0


def connections(client: redis.Redis) -> int:
    return len(client.client_list())


async def test_a_redis_that_refuses_writes_is_blamed_and_costs_no_connections(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    await all_settled(stack, telegram)
    before = connections(stack.redis)
    stack.redis.config_set("min-replicas-to-write", 1)

    def blames_redis() -> bool:
        status, page = stack.get("/health/ready")
        return status == 503 and "NOREPLICAS" in (page["reason"] or "")

    await asyncio.to_thread(stack.wait_until, blames_redis, "readiness says that Redis refuses writes")
    assert stack.get("/health")[1]["redis"]["troubles"] == ["too_few_replicas"]
    await telegram.send_text(alice, "/balance")
    # Long enough for each worker to have tried again: before, each try left two connections open.
    tries = "Cannot connect to redis"
    await asyncio.to_thread(
        stack.wait_until, lambda: stack.log("main").count(tries) >= 5, "the worker tries again and again"
    )
    assert connections(stack.redis) <= before
    stack.redis.config_set("min-replicas-to-write", 0)
    await telegram.wait_for_message(alice, lambda message: "Your balance" in message.text)
    await asyncio.to_thread(
        stack.wait_until, lambda: stack.get("/health/ready")[0] == 200, "it is ready again"
    )
    await all_settled(stack, telegram)
    assert connections(stack.redis) <= before + 4, "pools of the processes fill, and no more"


async def test_the_backlog_of_a_full_redis_is_finished_and_new_commands_wait_at_telegram(
    make_stack: MakeStack, telegram: TelegramControl, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = EmbeddedRedis(tmp_path_factory.mktemp("full") / "redis", free_port())
    server.start()
    stack = make_stack(redis_url=server.url)
    try:
        stack.start("frontend", "main", "light")
        stack.wait_ready(processes=3)
        people = await register(telegram, "Alice", "Boris")
        cards = await ask_credits(telegram, 10, amount="5.50")
        (last_card,) = await ask_credits(telegram, 1, whom="@boris", amount="5")
        await all_settled(stack, telegram)
        stack.stop("main")
        for card in cards:
            await confirm(telegram, card)
        await asyncio.to_thread(
            stack.wait_until, lambda: stack.redis.zcard("ballast:inbox:all") >= 10, "ten wait"
        )
        stack.redis.config_set(
            "maxmemory", 1
        )  # what is used already is far more: any write that needs memory fails
        await asyncio.to_thread(
            stack.wait_until, lambda: stack.get("/health/ready")[0] == 503, "intake is stopped"
        )
        await confirm(telegram, last_card)
        stack.start("main")
        await asyncio.to_thread(
            stack.wait_until, lambda: stack.redis.zcard("ballast:inbox:all") == 0, "the ten are done"
        )
        assert balances(stack)[people[0]] == 5_500
        assert balances(stack)[people[1]] == 0
        stack.redis.config_set("maxmemory", 0)
        await asyncio.to_thread(
            stack.wait_until, lambda: balances(stack)[people[1]] == 500, "what waited at Telegram is done"
        )
        await all_settled(stack, telegram)
        assert_audit_passes(stack)
    finally:
        stack.stop_all()
        server.kill()


@pytest.mark.parametrize("program", [["bot_frontend"], ["celery", "-A", "workers", "worker", "-Q", "users"]])
async def test_another_bot_on_the_same_redis_is_refused_in_one_line(
    make_stack: MakeStack, program: list[str]
) -> None:
    stack = make_stack()
    stack.redis.set("ballast:bot", 111)
    refused = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", *program],
        env=stack.env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert refused.returncode == 1
    (line,) = (line for line in refused.stderr.splitlines() if line.startswith("ballast: "))
    assert "belongs to bot 111" in line
    assert "Traceback" not in refused.stderr


async def test_a_message_that_keeps_ending_its_process_becomes_a_failed_job_and_shows(
    stack: Stack, telegram: TelegramControl
) -> None:
    await register(telegram, "Alice")
    fields = {"telegram_id": 2001, "first_name": "Bob"}
    # It cannot be taken on record, waits a second each time, and its process is killed within that.
    fill_inbox(stack.redis, SIZE_MAX)
    deadly = message("workers.users.get_or_create", [[], fields, {}], task_id="deadly")
    stack.redis.lpush("users", deadly)
    tries = 0

    def kill_again() -> None:
        nonlocal tries
        if (seen := stack.log("main").count('"operators_job_waits"')) == tries:
            return
        tries = seen
        for report in Inbox(stack.redis).processes().values():
            if report.get("name") == "main":
                with suppress(ProcessLookupError):
                    os.kill(report["pid"], signal.SIGKILL)

    def shows() -> bool:
        kill_again()
        page = stack.get("/health")[1]
        return bool(page["status"] == "degraded" and page["workers"]["lost_to_one_job"] >= 2)

    await asyncio.to_thread(stack.wait_until, shows, "/health says that one job costs processes")

    def failed() -> bool:
        kill_again()
        return bool(stack.query("SELECT 1 FROM failed_operations WHERE job_id = 'deadly'"))

    await asyncio.to_thread(stack.wait_until, failed, "it is a failed job")
    await asyncio.to_thread(
        stack.wait_until,
        lambda: not stack.redis.llen("users") and not stack.redis.hlen("unacked"),
        "the message is gone",
    )
    assert stack.log("main").count('"process_lost"') == LOSSES_MAX
