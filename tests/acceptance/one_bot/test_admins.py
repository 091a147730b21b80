"""What admins alone are told."""

from __future__ import annotations

import asyncio

from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.harness.people import all_settled, answers, ask_credits, assert_shown, register, say


async def test_dbstatus_is_for_admins_alone(stack: Stack, telegram: TelegramControl) -> None:
    (alice,) = await register(telegram, "Alice")
    assert "do not know /dbstatus" in (await say(telegram, alice, "/dbstatus")).text
    assert "dbstatus" in (await say(telegram, ADMIN_ID, "/help")).text
    assert "dbstatus" not in (await say(telegram, alice, "/help")).text


async def test_an_unknown_press_on_an_admins_card_costs_no_message_and_leaves_the_card(
    stack: Stack, telegram: TelegramControl
) -> None:
    await register(telegram, "Alice")
    (card,) = await ask_credits(telegram, 1)
    said = await answers(telegram, ADMIN_ID)
    await assert_shown(telegram, ADMIN_ID, card, "ac:of-no-card", "This request is unknown")
    await all_settled(stack, telegram)
    assert await answers(telegram, ADMIN_ID) == said


async def test_the_command_menu_is_set_for_everybody_and_fuller_for_admins(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    await say(telegram, ADMIN_ID, "/start")
    stack.stop("frontend")
    stack.start("frontend")
    stack.wait_ready(processes=3)

    async def has_credit(user_id: int) -> bool:
        return "credit" in {command["command"] for command in await telegram.menu(user_id)}

    for _ in range(600):
        if await has_credit(ADMIN_ID):
            break
        await asyncio.sleep(0.05)
    assert await has_credit(ADMIN_ID)
    assert not await has_credit(alice)
    assert "send" in {command["command"] for command in await telegram.menu(alice)}
