"""Operators find people in the chat, and act on their accounts by buttons that ask first."""

from __future__ import annotations

import asyncio
import re

from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.harness.people import (
    ANSWER_SECONDS_MAX,
    all_settled,
    assert_audit_passes,
    balances,
    call,
    confirm,
    register,
    say,
)


async def pressed(
    telegram: TelegramControl, card: SeenMessage, button: str, words: str, user_id: int = ADMIN_ID
) -> SeenMessage:
    """The next message of the bot in that chat with these words, new or in the card's place."""
    await telegram.press_button(user_id, card, button)
    return await telegram.wait_for_message(
        user_id,
        lambda message: words in message.text,
        after=card.revision,
        timeout_seconds=ANSWER_SECONDS_MAX,
    )


async def test_an_admin_finds_somebody_and_freezes_credits_and_writes_to_them(
    stack: Stack, telegram: TelegramControl
) -> None:
    alice, otto = await register(telegram, "Alice", "Otto", credit="10")
    assert "do not know /user" in (await say(telegram, alice, "/user otto")).text
    assert "nobody by" in (await say(telegram, ADMIN_ID, "/user zacharias")).text
    card = await say(telegram, ADMIN_ID, "/user otto")
    assert "Balance now: 10.00 CREDIT" in card.text
    assert f"ID {otto}" in card.text

    await pressed(telegram, card, "Freeze", "Why?")
    question = await say(telegram, ADMIN_ID, "taken over")
    assert "receive money, but not send any" in question.text
    frozen = await pressed(telegram, question, "Confirm", "Frozen: sends nothing.")
    await telegram.wait_for_message(otto, lambda message: "Your account was frozen" in message.text)
    refused = await say(telegram, otto, "/send @alice 1")
    assert "Your account is frozen" in refused.text

    await pressed(telegram, frozen, "Credit", "How much")
    assert "Why?" in (await say(telegram, ADMIN_ID, "2.50")).text
    asked = await say(telegram, ADMIN_ID, "for your trouble")
    assert "Credit 2.50 CREDIT to" in asked.text
    await confirm(telegram, asked)
    await telegram.wait_for_message(otto, lambda message: "You were credited 2.50" in message.text)

    card = await say(telegram, ADMIN_ID, f"/user {otto}")
    await pressed(telegram, card, "Message", "What do you want to tell")
    question = await say(telegram, ADMIN_ID, "Call <b>us</b>, please.")
    await pressed(telegram, question, "Confirm", "Sent to")
    told = await telegram.wait_for_message(otto, lambda message: "from the operators" in message.text)
    assert "Call <b>us</b>, please." in told.text

    card = await say(telegram, ADMIN_ID, "/user @otto")
    await pressed(telegram, card, "Unfreeze", "Why?")
    question = await say(telegram, ADMIN_ID, "settled")
    await pressed(telegram, question, "Confirm", "Balance now: 12.50 CREDIT")
    await telegram.wait_for_message(otto, lambda message: "no longer frozen" in message.text)
    await all_settled(stack, telegram)
    acts = stack.query(
        "SELECT actor, action, reason FROM admin_actions WHERE target = %s ORDER BY id", str(otto)
    )
    assert acts == [
        (f"telegram:{ADMIN_ID}", "user.credit", None),
        (f"telegram:{ADMIN_ID}", "user.freeze", "taken over"),
        (f"telegram:{ADMIN_ID}", "user.credit", "for your trouble"),
        (f"telegram:{ADMIN_ID}", "user.message", "Call <b>us</b>, please."),
        (f"telegram:{ADMIN_ID}", "user.unfreeze", "settled"),
    ]


async def test_an_admin_reverses_a_transfer_from_the_card_once(
    stack: Stack, telegram: TelegramControl
) -> None:
    alice, otto = await register(telegram, "Alice", "Otto", credit="10")
    asked = await say(telegram, alice, "/send @otto 4 lunch")
    await telegram.press_button(alice, asked, "Confirm")
    await telegram.wait_for_message(otto, lambda message: "sent you 4.00" in message.text)
    card = await say(telegram, ADMIN_ID, "/user @otto")
    page = await pressed(telegram, card, "Transactions", "lunch")
    number = re.findall(r"#(\d+)", page.text)[0]
    await pressed(telegram, page, f"↩ #{number}", "Why?")
    question = await say(telegram, ADMIN_ID, "by mistake")
    assert "4.00 CREDIT goes back from" in question.text
    (data,) = (data for label, data in question.buttons if label == "Confirm" and data is not None)
    for _ in range(3):
        await telegram.press(ADMIN_ID, question.message_id, data, chat_id=ADMIN_ID, force=True)
    await telegram.wait_for_message(ADMIN_ID, lambda message: f"of transfer #{number} by" in message.text)
    await telegram.wait_for_message(alice, lambda message: "You got 4.00 CREDIT back" in message.text)
    await telegram.wait_for_message(otto, lambda message: "taken back from you" in message.text)
    await all_settled(stack, telegram)
    assert (balances(stack)[alice], balances(stack)[otto]) == (1_000, 1_000)
    assert_audit_passes(stack)


async def test_a_call_for_somebody_unknown_is_a_failed_job(stack: Stack, telegram: TelegramControl) -> None:
    call(stack, "workers.balances.adjust", {"username": "nobody_at_all", "amount": 100})
    failed = (
        "SELECT reference, error FROM failed_operations WHERE status = 'open' AND kind = 'balances.adjust'"
    )
    await asyncio.to_thread(stack.wait_until, lambda: bool(stack.query(failed)), "the failed job")
    ((reference, error),) = stack.query(failed)
    assert "refused, unknown_user" in error
    done = stack.command("ballast", "jobs", "discard", reference)
    assert done.returncode == 0, done.stdout + done.stderr
