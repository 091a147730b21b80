"""An owner gives a role in the chat, and what it allows is offered and done, and nothing beside."""

from __future__ import annotations

import asyncio

from ballast.operators.roles import FRESH_SECONDS
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.harness.people import all_settled, register, say


async def commands_of(telegram: TelegramControl, user_id: int) -> set[str]:
    answer = await say(telegram, user_id, "/help")
    return {line.partition(" ")[0] for line in answer.text.splitlines()}


async def test_a_role_given_in_the_chat_allows_what_it_says_until_it_is_taken(
    stack: Stack, telegram: TelegramControl
) -> None:
    olga, _ = await register(telegram, "Olga", "Otto", credit="10")
    assert "do not know /role" in (await say(telegram, olga, "/role @otto owner")).text
    assert "none takes a role away" in (await say(telegram, ADMIN_ID, "/role @olga boss")).text
    before = await commands_of(telegram, olga)
    assert not before & {"/user", "/signin", "/credit"}

    assert "now has the role support" in (await say(telegram, ADMIN_ID, "/role @olga support hired")).text
    async with asyncio.timeout(60):
        while "/user" not in (now := await commands_of(telegram, olga)):
            await asyncio.sleep(FRESH_SECONDS / 5)
    assert now - before == {"/user", "/signin", "/broadcasts", "/dbstatus"}
    assert "support" in (await say(telegram, ADMIN_ID, "/role")).text

    card = await say(telegram, olga, "/user @otto")
    assert "Balance now: 10.00 CREDIT" in card.text
    offered = {label for label, _ in card.buttons}
    assert {"Freeze", "Message"} <= offered and not {"Credit", "Debit"} & offered
    assert "do not know /credit" in (await say(telegram, olga, "/credit @otto 1")).text
    code = (await say(telegram, olga, "/signin")).text
    assert "works once, within 5 min" in code

    assert "no role any more" in (await say(telegram, ADMIN_ID, "/role @olga none")).text
    async with asyncio.timeout(60):
        while "/user" in await commands_of(telegram, olga):
            await asyncio.sleep(FRESH_SECONDS / 5)
    await telegram.press_button(olga, card, "Message")
    await telegram.wait_for_message(olga, lambda message: "not permitted" in message.text)
    await all_settled(stack, telegram)
    acts = stack.query(
        "SELECT actor, action, reason FROM admin_actions WHERE target = %s ORDER BY id", str(olga)
    )
    assert acts[1:] == [
        (f"telegram:{ADMIN_ID}", "role.grant", "hired"),
        (f"telegram:{ADMIN_ID}", "role.take", None),
    ]
