"""What dies is started again, as a supervisor would; what was asked is done once and answered."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg2
import pytest

from devstack.postgres import EmbeddedPostgres
from devstack.redis import EmbeddedRedis
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.acceptance.people import (
    ANSWER_SECONDS_MAX,
    all_settled,
    answers,
    ask_credits,
    assert_audit_passes,
    balances,
    confirm,
    floods,
    last_known,
    register,
    say,
    toast,
    transfers,
)
from tests.queueing import queueing_at
from tests.servers import running_postgres
from workers.answers import UNCERTAIN_SENDS_MAX
from workers.inbox import Ticket


@pytest.fixture
def own_postgres(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    with running_postgres(servers_folder) as server:
        yield server


def credits_told(texts: list[str]) -> int:
    return sum("You were credited" in text for text in texts)


@pytest.mark.parametrize("seed", [1, 2])
async def test_kill_9_of_the_frontend_at_any_moment_loses_and_doubles_nothing(
    stack: Stack, telegram: TelegramControl, seed: int
) -> None:
    (alice,) = await register(telegram, "Alice")
    moments = random.Random(seed)
    sent = 60
    cards = await ask_credits(telegram, sent)
    for first in range(0, sent, 10):
        for card in cards[first : first + 10]:
            await confirm(telegram, card)
        await asyncio.sleep(moments.uniform(0, 0.15))
        stack.kill("frontend")
        stack.start("frontend")
        if moments.random() < 0.5:
            await asyncio.sleep(moments.uniform(0, 1.5))
    await all_settled(stack, telegram)
    assert balances(stack)[alice] == sent * 100
    assert transfers(stack, "credit") == sent
    assert credits_told(await answers(telegram, alice)) == sent
    assert sum("Credited 1.00" in text for text in await answers(telegram, ADMIN_ID)) == sent
    assert_audit_passes(stack)


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
    slowest = 0.0
    for path in ("/health", "/db-status", "/db-stability") * 10:
        before = time.perf_counter()
        stack.get(path)
        slowest = max(slowest, time.perf_counter() - before)
    # An answer that waited for the database would take its connect time-out of two seconds at least.
    assert slowest < 1.0
    assert credits_told(await answers(telegram, alice)) == 0
    assert "your balance was 0.00 CREDIT" in (await say(telegram, alice, "/balance")).text
    queued = await say(telegram, alice, "/history")
    assert "is saved, and" in queued.text

    own_postgres.start()
    answered = await telegram.wait_for_message(
        alice,
        lambda message: (
            "/history" not in message.text
            and ("Nothing has happened" in message.text or "+1.00" in message.text)
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


async def test_kill_9_of_a_worker_and_of_its_children_loses_and_doubles_nothing(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    for number, card in enumerate(await ask_credits(telegram, 40)):
        await confirm(telegram, card)
        if number == 10:
            children = psutil.Process(stack.pid("main")).children()
            children[0].kill()
        if number == 25:
            stack.kill("main")
            stack.start("main")
    await all_settled(stack, telegram)
    assert balances(stack)[alice] == 4000
    assert transfers(stack, "credit") == 40
    assert_audit_passes(stack)


async def test_a_frozen_worker_delays_nobody_for_long_and_doubles_nothing(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack()
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    (alice,) = await register(telegram, "Alice")
    cards = await ask_credits(telegram, 5)
    await all_settled(stack, telegram)
    frozen = [psutil.Process(stack.pid("main")), *psutil.Process(stack.pid("main")).children()]
    for process in frozen:
        os.kill(process.pid, signal.SIGSTOP)
    for card in cards:
        await confirm(telegram, card)
    stack.run("second", stack.program("main", node="second"))
    await all_settled(stack, telegram)
    assert balances(stack)[alice] == 500
    for process in frozen:
        os.kill(process.pid, signal.SIGCONT)
    await say(telegram, alice, "/balance")
    await all_settled(stack, telegram)
    assert balances(stack)[alice] == 500
    assert credits_told(await answers(telegram, alice)) == 5
    assert_audit_passes(stack)


async def test_while_telegram_is_away_the_answers_wait_and_then_go_out(
    stack: Stack, telegram: TelegramControl
) -> None:
    alice, boris = await register(telegram, "Alice", "Boris", credit="10")
    question = await say(telegram, alice, "/send @boris 1")
    await telegram.add_fault("reset", when="before", methods=["sendMessage", "editMessageText"], count=3)
    await telegram.press_button(alice, question, "Confirm")
    await telegram.wait_for_message(
        alice, lambda message: "Sent 1.00" in message.text, timeout_seconds=ANSWER_SECONDS_MAX
    )
    await telegram.wait_for_message(
        boris, lambda message: "sent you 1.00" in message.text, timeout_seconds=ANSWER_SECONDS_MAX
    )
    await all_settled(stack, telegram)
    assert transfers(stack) == 1
    assert last_known(stack, alice, boris) == [900, 1_100]
    assert_audit_passes(stack)


async def test_a_command_menu_that_telegram_refuses_silences_nobody(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    stack.redis.delete(*stack.redis.keys("ballast:registered:*"))
    await telegram.add_fault("flood", methods=["setMyCommands"], retry_after=490)
    stack.stop("frontend")
    stack.start("frontend")
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        while not await floods(telegram):
            await asyncio.sleep(0.05)
    assert "Your balance" in (await say(telegram, alice, "/balance")).text


async def test_a_malformed_update_is_kept_for_an_operator_and_does_not_stop_the_rest(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    await telegram.inject({"message": {"text": "no chat, no date", "from": {"id": "x"}}})
    assert "Your balance" in (await say(telegram, alice, "/balance")).text
    await all_settled(stack, telegram)
    ((kind, error),) = stack.query("SELECT kind, error FROM failed_operations")
    assert kind == "users.quarantine"
    assert "message." in error


def held(stack: Stack) -> bool:
    """Whether some process is at work on a job."""
    return any(stack.redis.hexists(key, "owner") for key in stack.redis.keys("ballast:inbox:job:*"))


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


async def test_a_copy_of_a_message_at_the_process_that_answers_makes_no_second_answer(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack()
    one_child = stack.program("main")
    stack.run("main", replace(one_child, argv=[*one_child.argv[:-1], "1"]))
    stack.start("frontend", "light")
    stack.wait_ready(processes=2)
    (alice,) = await register(telegram, "Alice")
    await all_settled(stack, telegram)  # so that the record which is found below is the balance's
    await telegram.add_fault("latency", methods=["sendMessage"], seconds=4, count=1)
    sent = await telegram.send_text(alice, "/balance")
    await asyncio.to_thread(stack.wait_until, lambda: held(stack), "the answer is under way")
    (record,) = stack.redis.keys("ballast:inbox:job:*")
    job_id = str(record, "ascii").rsplit(":", 1)[1] if isinstance(record, bytes) else ""
    with queueing_at(stack.env["REDIS_URL"]) as queueing:
        assert queueing.publisher.publish(Ticket(job_id, "balances", "balances.show", place=""))
    await asyncio.to_thread(
        stack.wait_until, lambda: "copy_dropped" in stack.log("main"), "the copy is dropped"
    )
    await telegram.wait_for_message(alice, after=sent.message.revision)
    await all_settled(stack, telegram)
    assert (
        sum("Your balance is" in text for text in await answers(telegram, alice)) == 2
    )  # /start's and this one


async def test_an_answer_that_may_have_arrived_is_not_repeated_for_ever(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    await telegram.add_fault("reset", when="after", methods=["sendMessage"], chat_id=alice)
    await telegram.send_text(alice, "/balance")
    settling = asyncio.create_task(all_settled(stack, telegram))
    while not settling.done():
        for waiting in stack.redis.zrange("ballast:inbox:due", 0, -1):  # 2, 8 and 32 s, made short
            stack.redis.zadd("ballast:inbox:due", {bytes(waiting): 0}, xx=True)  # type: ignore[arg-type]  # not decoded
        await asyncio.sleep(0.2)
    await settling
    assert (
        sum("Your balance is" in text for text in await answers(telegram, alice)) == 1 + UNCERTAIN_SENDS_MAX
    )
    ((error,),) = stack.query("SELECT error FROM failed_operations")
    assert "may not have arrived" in error


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


async def test_with_no_worker_alive_whoever_waits_is_told_and_has_the_answer_in_its_place(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    await all_settled(stack, telegram)
    for name in ("main", "light"):
        stack.kill(name)
    after = max(message.revision for message in await telegram.messages(alice))
    await telegram.send_text(alice, "/history")
    told = await telegram.wait_for_message(
        alice, lambda message: "This is taking longer than usual." in message.text, after=after
    )
    assert "(Ref. " in told.text
    stack.start("main", "light")
    await all_settled(stack, telegram)
    (answer,) = [message for message in await telegram.messages(alice, after=after) if message.from_bot]
    assert (answer.message_id, answer.text) == (
        told.message_id,
        "Nothing has happened on your account yet.",
    )


async def test_the_frontend_ends_a_spinner_that_no_worker_ends(
    stack: Stack, telegram: TelegramControl
) -> None:
    alice, _ = await register(telegram, "Alice", "Boris", credit="10")
    card = await say(telegram, alice, "/send @boris 4")
    await all_settled(stack, telegram)
    stack.kill("main")
    press = await telegram.press_button(alice, card, "Confirm")
    assert await toast(telegram, press) == ""
    stack.start("main")
    await telegram.wait_for_message(alice, lambda message: "Sent 4.00" in message.text)
    await all_settled(stack, telegram)
    assert transfers(stack) == 1
    answered = [
        request
        for request in await telegram.requests(method="answerCallbackQuery")
        if request.params["callback_query_id"] == press.callback_query_id
    ]
    assert len(answered) == 1, "the worker does not answer what is answered"
