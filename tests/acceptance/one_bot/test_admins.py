"""What admins alone are told."""

from __future__ import annotations

from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.people import all_settled, answers, ask_credits, assert_shown, register, say


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
