"""Telegram says 429: who waits, and for how long."""

from __future__ import annotations

import asyncio

from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.harness.people import ANSWER_SECONDS_MAX, all_settled, answers, floods, register, say


async def test_a_429_is_waited_for_and_the_answer_comes_once(stack: Stack, telegram: TelegramControl) -> None:
    (alice,) = await register(telegram, "Alice")
    await telegram.add_fault("flood", methods=["sendMessage"], retry_after=1, count=2)
    assert "Your balance" in (await say(telegram, alice, "/balance")).text
    await all_settled(stack, telegram)
    assert sum("Your balance is" in text for text in await answers(telegram, alice)) == 2


async def test_a_429_of_one_chat_is_waited_for_by_that_chat_and_by_nobody_else(
    stack: Stack, telegram: TelegramControl
) -> None:
    people = await register(telegram, "Dora", "Emil", "Finn")
    dora, *others = people
    before = await floods(telegram)
    await telegram.add_fault("flood", chat_id=dora, retry_after=600)
    await telegram.send_text(dora, "/balance")
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        while await floods(telegram) == before:
            await asyncio.sleep(0.05)
    for person in others:
        assert "Your balance" in (await say(telegram, person, "/balance")).text
    # Dora's answer is on its record, and Telegram is not asked again before its time.
    await asyncio.to_thread(
        stack.wait_until, lambda: stack.redis.zcard("ballast:inbox:all") == 1, "the others' jobs are done"
    )
    assert await floods(telegram) == before + 1
    await telegram.clear_faults()
    stack.redis.delete(f"ballast:pace:waits:{dora}")
    due: list[bytes] = stack.redis.zrange("ballast:inbox:due", 0, -1)  # type: ignore[assignment]
    stack.redis.zadd("ballast:inbox:due", dict.fromkeys(due, 0))
    await all_settled(stack, telegram)
    for person in people:
        assert (
            sum("Your balance is" in text for text in await answers(telegram, person)) == 2
        )  # one of them for /start
