"""What dies is started again, as a supervisor would; what was asked is done once and answered."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from devstack.postgres import EmbeddedPostgres
from devstack.redis import EmbeddedRedis
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness.jobs import held
from tests.harness.people import (
    all_settled,
    answers,
    ask_credits,
    assert_audit_passes,
    balances,
    confirm,
    credits_told,
    register,
    say,
)
from tests.harness.servers import running_postgres


@pytest.fixture
def own_postgres(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    with running_postgres(servers_folder) as server:
        yield server


async def test_redis_stopped_nothing_is_acknowledged_and_back_everything_is_answered_once(
    make_stack: MakeStack, own_redis: EmbeddedRedis, telegram: TelegramControl
) -> None:
    stack = make_stack(redis_url=own_redis.url)
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    (alice,) = await register(telegram, "Alice")
    cards = await ask_credits(telegram, 10)
    await all_settled(stack, telegram)
    own_redis.kill()

    def says_down() -> bool:
        return bool(stack.get("/health")[1]["status"] == "down")

    await asyncio.to_thread(stack.wait_until, says_down, "/health says down")
    assert stack.get("/health/ready")[0] == 503
    assert stack.get("/health/live")[0] == 200
    for card in cards:
        await confirm(telegram, card)
    await asyncio.sleep(2)
    assert stack.alive("frontend")
    assert len(await telegram.updates(state="pending")) == 10
    own_redis.start()
    await all_settled(stack, telegram)
    assert balances(stack)[alice] == 1000
    assert credits_told(await answers(telegram, alice)) == 10
    assert_audit_passes(stack)


async def test_with_the_database_stopped_pages_answer_at_once_and_jobs_wait_and_are_done_once(
    make_stack: MakeStack, own_postgres: EmbeddedPostgres, telegram: TelegramControl
) -> None:
    stack = make_stack(database_url=own_postgres.url, HEALTH_PROBE_SECONDS="1")
    stack.start("frontend", "main", "light", "beat")
    stack.wait_ready(processes=3)
    (alice,) = await register(telegram, "Alice")
    cards = await ask_credits(telegram, 10)
    await all_settled(stack, telegram)
    own_postgres.kill()
    first = await say(telegram, alice, "/balance")  # it finds the outage
    assert "your balance was 0.00 CREDIT. I can't check it right now" in first.text
    for card in cards:
        await confirm(telegram, card)

    def says_unavailable() -> bool:
        return bool(stack.get("/db-status")[1]["state"] == "unavailable")

    await asyncio.to_thread(stack.wait_until, says_unavailable, "/db-status says unavailable")
    assert stack.get("/health")[1]["status"] == "degraded"

    def counts_failures() -> bool:
        return bool(stack.get("/db-stability")[1]["failed_operations"])

    await asyncio.to_thread(stack.wait_until, counts_failures, "/db-stability counts failures")

    def seconds(path: str) -> float:
        before = time.perf_counter()
        stack.get(path)
        return time.perf_counter() - before

    # A page that waited for the database would take its connect time-out of two seconds, every time.
    for path in ("/health", "/db-status", "/db-stability"):
        assert min(seconds(path) for _ in range(10)) < 1.0, path
    assert credits_told(await answers(telegram, alice)) == 0
    assert "your balance was 0.00 CREDIT" in (await say(telegram, alice, "/balance")).text
    queued = await say(telegram, alice, "/history")
    assert "is saved, and" in queued.text

    own_postgres.start()
    answered = await telegram.wait_for_message(
        alice,
        lambda message: (
            "/history" not in message.text
            and ("You have no transactions yet" in message.text or "+1.00" in message.text)
        ),
    )
    assert answered.message_id == queued.message_id  # the answer takes the place of "queued"
    await all_settled(stack, telegram)
    assert balances(stack)[alice] == 1000
    assert credits_told(await answers(telegram, alice)) == 10

    def recovered() -> bool:
        after = stack.get("/db-stability")[1]
        return bool(after["failed_operations"] == 0 and after["total_failed_operations"] > 0)

    await say(telegram, alice, "/balance")
    await asyncio.to_thread(stack.wait_until, recovered, "failed_operations is reset, the total is not")
    assert_audit_passes(stack)


async def test_redis_killed_with_a_task_in_flight_ends_no_worker(
    make_stack: MakeStack, own_redis: EmbeddedRedis, telegram: TelegramControl
) -> None:
    stack = make_stack(redis_url=own_redis.url)
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    (alice,) = await register(telegram, "Alice")
    await all_settled(stack, telegram)
    with psycopg2.connect(stack.database_url) as blocker:
        blocker.cursor().execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        sent = await telegram.send_text(alice, "/balance")
        await asyncio.to_thread(stack.wait_until, lambda: held(stack), "the job is in flight")
        own_redis.kill()
        await asyncio.sleep(1)
    blocker.close()
    own_redis.start()
    await telegram.wait_for_message(
        alice, lambda message: "balance is" in message.text, after=sent.message.revision, timeout_seconds=60
    )
    await all_settled(stack, telegram)
    assert stack.alive("main"), stack.log("main")[-3000:]
    assert stack.alive("light"), stack.log("light")[-3000:]


async def test_a_redis_that_stands_still_for_a_moment_doubles_no_answer(
    make_stack: MakeStack, own_redis: EmbeddedRedis, telegram: TelegramControl
) -> None:
    stack = make_stack(redis_url=own_redis.url)
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    (alice,) = await register(telegram, "Alice")
    await telegram.add_fault("latency", methods=["sendMessage"], seconds=4)
    await telegram.send_text(alice, "/balance")
    await asyncio.to_thread(stack.wait_until, lambda: held(stack), "the answer is under way")
    assert own_redis.pid is not None
    os.kill(own_redis.pid, signal.SIGSTOP)
    await asyncio.sleep(2.6)
    os.kill(own_redis.pid, signal.SIGCONT)
    await all_settled(stack, telegram)
    assert sum("Your balance is" in text for text in await answers(telegram, alice)) == 2
