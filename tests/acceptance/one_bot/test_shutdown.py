"""Ordered ends: what a rolling release does to a fleet under load."""

from __future__ import annotations

import asyncio
import itertools

from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.harness.people import (
    all_settled,
    answers,
    ask_credits,
    assert_audit_passes,
    balances,
    confirm,
    register,
)

STOP_SECONDS_MAX = 50.0
"""Five times what `docker stop` waits before it kills: this machine may be slow, and what hangs here lasts for 60 s."""


async def test_a_rolling_restart_under_load_loses_and_doubles_nothing(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    stack.run("second", stack.program("main", node="second"))
    stack.wait_ready(processes=5)
    sent = 60
    cards = iter(await ask_credits(telegram, sent))
    loop = asyncio.get_running_loop()
    for name in ("main", "second", "light", "frontend"):
        for card in itertools.islice(cards, sent // 4):
            await confirm(telegram, card)
        before = loop.time()
        status = await asyncio.to_thread(stack.stop, name)
        assert status in (0, -15), stack.log(name)[-2000:]
        assert loop.time() - before < STOP_SECONDS_MAX
        if name == "second":
            stack.run("second", stack.program("main", node="second"))
        else:
            stack.start(name)
    await all_settled(stack, telegram)
    assert balances(stack)[alice] == sent * 100
    assert sum("You were credited 1.00" in text for text in await answers(telegram, alice)) == sent
    assert_audit_passes(stack)


async def test_a_stopping_worker_gives_back_what_it_cannot_finish(
    stack: Stack, telegram: TelegramControl
) -> None:
    """Telegram does not answer: the worker ends in time all the same, and another delivers the answer later."""
    (alice,) = await register(telegram, "Alice")
    (card,) = await ask_credits(telegram, 1)
    await telegram.add_fault("hang", methods=["sendMessage", "editMessageText"], when="before", seconds=60)
    await confirm(telegram, card)
    await asyncio.to_thread(stack.wait_until, lambda: balances(stack)[alice] == 100, "the credit is applied")
    loop = asyncio.get_running_loop()
    before = loop.time()
    await asyncio.to_thread(stack.stop, "main")
    assert loop.time() - before < STOP_SECONDS_MAX
    await telegram.clear_faults()
    stack.start("main")
    await telegram.wait_for_message(alice, lambda message: "You were credited 1.00" in message.text)
    await all_settled(stack, telegram)
    assert balances(stack)[alice] == 100
    assert_audit_passes(stack)
