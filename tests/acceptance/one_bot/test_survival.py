"""What dies is started again, as a supervisor would; what was asked is done once and answered."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from dataclasses import replace

import psutil
import pytest

from ballast.inbox import Dispatch
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.harness.jobs import held
from tests.harness.people import (
    ANSWER_SECONDS_MAX,
    all_settled,
    answers,
    ask_credits,
    assert_audit_passes,
    balances,
    confirm,
    credits_told,
    floods,
    last_known,
    register,
    say,
    toast,
    transfers,
)
from tests.harness.queueing import queueing_at


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
    assert transfers(stack, "credit", of=alice) == sent
    assert credits_told(await answers(telegram, alice)) == sent
    assert sum("Credited 1.00" in text for text in await answers(telegram, ADMIN_ID)) == sent
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
    assert transfers(stack, "credit", of=alice) == 40
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
    assert transfers(stack, of=alice) == 1
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
        "You have no transactions yet.",
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
    assert transfers(stack, of=alice) == 1
    answered = [
        request
        for request in await telegram.requests(method="answerCallbackQuery")
        if request.params["callback_query_id"] == press.callback_query_id
    ]
    assert len(answered) == 1, "the worker does not answer what is answered"


async def test_a_frozen_worker_delays_nobody_for_long_and_doubles_nothing(
    stack: Stack, telegram: TelegramControl
) -> None:
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


async def test_a_copy_of_a_message_at_the_process_that_answers_makes_no_second_answer(
    stack: Stack, telegram: TelegramControl
) -> None:
    stack.stop("main")
    one_child = stack.program("main")
    stack.run("main", replace(one_child, argv=[*one_child.argv[:-1], "1"]))
    stack.wait_ready(processes=2)
    (alice,) = await register(telegram, "Alice")
    await all_settled(stack, telegram)  # so that the record which is found below is the balance's
    await telegram.add_fault("latency", methods=["sendMessage"], seconds=4, count=1)
    sent = await telegram.send_text(alice, "/balance")
    await asyncio.to_thread(stack.wait_until, lambda: held(stack), "the answer is under way")
    (record,) = stack.redis.keys("ballast:inbox:job:*")
    job_id = str(record, "ascii").rsplit(":", 1)[1] if isinstance(record, bytes) else ""
    with queueing_at(stack.env["REDIS_URL"]) as queueing:
        assert queueing.publisher.publish(Dispatch(job_id, "balances", "balances.show", sequence=""))
    await asyncio.to_thread(
        stack.wait_until, lambda: "copy_dropped" in stack.log("main"), "the copy is dropped"
    )
    await telegram.wait_for_message(alice, after=sent.message.revision)
    await all_settled(stack, telegram)
    assert (
        sum("Your balance is" in text for text in await answers(telegram, alice)) == 2
    )  # /start's and this one
