"""Redis that refuses writes, is full, or is another bot's; and messages in its queues that are none."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import zlib
from base64 import b64encode
from contextlib import suppress

import pytest
import redis

from devstack.ports import free_port
from devstack.redis import EmbeddedRedis
from devstack.stack import ROOT, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.acceptance.people import (
    all_settled,
    ask_credits,
    assert_audit_passes,
    balances,
    confirm,
    register,
    say,
)
from tests.acceptance.test_security import message
from tests.queueing import fill_inbox
from workers.inbox import Inbox
from workers.inbox.inbox import SIZE_MAX
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


def poison(task: str, body: object) -> list[bytes]:
    """Messages that Celery acts on without checking them."""

    def with_properties(**properties: object) -> bytes:
        whole = json.loads(message(task, body, task_id="properties"))
        whole["properties"].update(properties)
        return json.dumps(whole).encode()

    def with_body(data: bytes, **changes: object) -> bytes:
        whole = json.loads(message(task, body, task_id="body"))
        return json.dumps({**whole, "body": b64encode(data).decode(), **changes}).encode()

    decimal = {"__type__": "decimal", "__value__": "x"}
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return [
        *(
            message(task, body, task_id=f"limits-{limits}", timelimit=limits)
            for limits in (
                [None, "60s"],
                ["a", "b"],
                [-5, -5],
                [0, 0],
                [5],
                5,
                [None, float("inf")],
                [True, True],
                [10**400, 10**400],
                [None, 10**400],
            )
        ),
        b"[" * 200_000,
        b'{"a":' * 100_000,
        with_body(b"[" * 200_000),
        with_body(b"x" * 1_000_001),
        with_body(b"\xff\xfe"),
        # More of them than the workers have processes: one that is dropped too late keeps its place.
        *(with_body(b'[[], {"telegram_id": ' + b"[" * 900 + b"]" * 900 + b"}, {}]") for _ in range(8)),
        with_body(
            b"-" + b"a" * 120_000, **{"content-type": "application/text", "content-encoding": "punycode"}
        ),
        with_body(b"[[], {}, {}]", **{"content-encoding": "nope"}),
        with_body(b"[[], {}, {}]", **{"content-encoding": {"a": 1}}),
        with_body(json.dumps([[], {"amount": decimal}, embed]).encode()),
        with_body(
            zlib.compress(b"0" * 9), headers={"task": task, "id": "zip", "compression": "application/x-gzip"}
        ),
        message(task, body, task_id="decimal-eta", eta=decimal),
        message(task, body, task_id="decimal-expires", expires={"__type__": "decimal", "__value__": "5"}),
        message(
            task, body, task_id="naive", expires={"__type__": "datetime", "__value__": "2099-01-01T00:00:00"}
        ),
        message(task, body, task_id="i" * 1_000_000),
        message(task, body, task_id="nul\0"),
        message(task, body, task_id="half\ud800"),
        message(task, body, task_id=""),
        message(task, [[], {}, {**embed, "errbacks": 5}], task_id="errbacks"),
        message(task, [[], {}, {**embed, "callbacks": [{"task": "x"}]}], task_id="callbacks"),
        message(task, [[], {}, {**embed, "chord": {"a": 1}}], task_id="chord"),
        message(task, [[], {}, 5], task_id="embed"),
        with_properties(delivery_info={"exchange": {"a": 1}, "routing_key": "balances"}),
        with_properties(delivery_info=5),
        with_properties(delivery_tag="\ud800"),
    ]


def command(
    method: object,
    *,
    clock: object = 1,
    reply_to: object = None,
    pattern: str | None = None,
    matcher: str | None = None,
    **arguments: object,
) -> str:
    body = {"method": method, "arguments": arguments, "destination": None, "reply_to": reply_to}
    whole = json.loads(message("x", {**body, "pattern": pattern, "matcher": matcher}))
    return json.dumps({**whole, "headers": {"clock": clock, "expires": None}})


def bad_commands(secret: str) -> list[str]:
    """What a worker is told by Flower or `celery control`, none of it usable."""
    show = "workers.balances.show"
    return [
        "[" * 200_000,
        secret,
        "{}",
        "5",
        command("ping", clock="x"),
        command("ping", clock=10**4300 - 1),
        command({"a": 1}),
        command("nobody_knows"),
        command("ping", unknown=1),
        command("ping", reply_to={"exchange": {"a": 1}}),
        command("pool_grow", n="x"),
        command("pool_grow", n=10**9),
        command("pool_grow", n=64),
        command("pool_shrink", n=2),
        command("ping", pattern=".?" * 70 + "!", matcher="pcre"),
        command("revoke", task_id=[secret + " " * 300_000]),
        command("revoke_by_stamped_headers", headers={"a": ["b"]}),
        command(secret),
        command("ping", clock=2**63 - 1),
        command("pool_shrink", n={"a": 1}),
        command("autoscale", max="x"),
        command("rate_limit", task_name=show, rate_limit="x/y/z"),
        command("rate_limit", task_name=show, rate_limit={"a": 1}),
        command("rate_limit", task_name=show, rate_limit="nan/s"),
        command("rate_limit", task_name={"a": 1}, rate_limit="5/s"),
        command("revoke", task_id={"a": 1}),
        command("revoke", task_id=[[1], {"a": 1}]),
        command("add_consumer", queue={"a": 1}),
        command("add_consumer", queue=[]),
        command("add_consumer", queue="nobody's", exchange_type="nope"),
        command("add_consumer", queue="nobody's", exchange={"a": 1}, routing_key=5),
        command("add_consumer", queue="balances", unknown={"a": 1}),
        command("add_consumer"),
        command("cancel_consumer", queue={"a": 1}),
        command("cancel_consumer", queue=None),
        command("time_limit", task_name=show, soft="60s", hard=["a"]),
        command("time_limit", task_name={"a": 1}, soft=5),
    ]


async def test_no_remote_command_ends_a_worker_or_is_logged(stack: Stack, telegram: TelegramControl) -> None:
    (alice,) = await register(telegram, "Alice")
    await all_settled(stack, telegram)
    channel = f"/{stack.redis.connection_pool.connection_kwargs['db']}.celery.pidbox"
    reply_queue = "replies-to-test"
    stack.redis.sadd("_kombu.binding.reply.test", f"test\x06\x16\x06\x16{reply_queue}")
    ping = command("ping", reply_to={"exchange": "reply.test", "routing_key": "test"})
    workers = ("main", "light")

    for number, bad in enumerate(bad_commands(secret := "nobody's business"), start=1):
        assert stack.redis.publish(channel, bad) == len(workers)
        assert stack.redis.publish(channel, ping) == len(workers)

        def both_answer(number: int = number) -> bool:
            return bool(stack.redis.llen(reply_queue) >= number * len(workers))

        await asyncio.to_thread(stack.wait_until, both_answer, f"both workers answer after {bad[:400]}")

    assert "0.00" in (await say(telegram, alice, "/balance")).text
    for name in workers:
        assert stack.alive(name)
        assert "Unrecoverable error" not in stack.log(name)
        assert secret not in stack.log(name)


async def test_no_message_ends_a_worker_stays_or_is_logged(stack: Stack, telegram: TelegramControl) -> None:
    (alice,) = await register(telegram, "Alice")
    await all_settled(stack, telegram)
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    secret = "nobody's business"
    body = [[], {"telegram_id": alice, "amount": 5, "memo": secret}, embed]
    adjust = "workers.balances.adjust"

    def changed(number: int, **changes: object) -> bytes:
        whole = json.loads(message(adjust, body, task_id=f"changed-{number}"))
        whole["properties"].update(changes.pop("properties", {}))
        return json.dumps({**whole, **changes}).encode()

    for each in (
        changed(1, properties={"body_encoding": "nope"}),
        changed(2, properties={"delivery_tag": {"a": 1}}),
        changed(3, headers=None),
        changed(4, headers={"task": {"a": 1}, "id": "x"}),
        changed(5, headers=[secret]),
        changed(6, body=secret),
        changed(7, **{"content-type": "application/x-nobody-knows"}),
        message(adjust, body, task_id={"a": 1}),  # type: ignore[arg-type]
        message(adjust, body, task_id="eta", eta="2099-01-01T00:00:00+00:00"),
        message(adjust, body, task_id="bad-eta", eta=secret),
        message(adjust, body, task_id="expires", expires=secret),
        message(secret, body, task_id="unknown"),
        message(adjust, body, task_id="compressed", compression="nope"),
        *poison(adjust, body),
    ):
        stack.redis.lpush("balances", each)
    await asyncio.to_thread(
        stack.wait_until,
        lambda: not stack.redis.llen("balances") and not stack.redis.hlen("unacked"),
        "all are taken, and none is kept",
    )
    assert "0.00" in (await say(telegram, alice, "/balance")).text
    assert stack.alive("main")
    assert stack.alive("light")
    log = stack.log("main")
    assert "Unrecoverable error" not in log + stack.log("light")
    ends = ("message_refused", "message_dropped", "arguments_refused")
    assert sum(log.count(f'"{end}"') for end in ends) >= 13 + len(poison(adjust, body))
    assert f'memo": "{secret}' not in log
    assert secret not in log.replace(f'"task": "{secret}"', "")


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
