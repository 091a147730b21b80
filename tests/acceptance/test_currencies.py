"""A bot with several currencies, with the real processes: what is written, asked, confirmed and shown of each."""

from __future__ import annotations

from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.acceptance.conftest import MakeStack
from tests.harness.people import all_settled, assert_audit_passes, register, say

PATIENCE_SECONDS = 60.0
CURRENCIES = "EUR:2:Euro:€,TON:9"


def at_work(make_stack: MakeStack, **options: str) -> Stack:
    stack = make_stack(CURRENCIES=CURRENCIES, **options)
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    return stack


async def seen(telegram: TelegramControl, user: int, *words: str) -> SeenMessage:
    return await telegram.wait_for_message(
        user, lambda message: all(word in message.text for word in words), timeout_seconds=PATIENCE_SECONDS
    )


async def credited(telegram: TelegramControl, user: int, amount: str) -> None:
    card = await say(telegram, ADMIN_ID, f"/credit {user} {amount}")
    assert amount in card.text
    await telegram.press_button(ADMIN_ID, card, "Confirm")
    await seen(telegram, user, "You were credited", amount)


async def test_money_is_sent_in_the_currency_that_is_written_beside_it(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = at_work(make_stack)
    await say(telegram, ADMIN_ID, "/start")
    ann, ben = await register(telegram, "Ann", "Ben", credit="50")
    await credited(telegram, ann, "10.00 EUR")
    await credited(telegram, ann, "0.000000005 TON")

    told = (await say(telegram, ann, "/balance")).text
    assert told.splitlines() == [
        "Your balance is 50.00 CREDIT.",
        "You also have 10.00 EUR.",
        "You also have 0.000000005 TON.",
    ]
    assert (await say(telegram, ben, "/balance")).text == "Your balance is 50.00 CREDIT."

    card = await say(telegram, ann, f"/send {ben} 4€ for lunch")
    assert card.text.startswith("Send 4.00 EUR to “Ben”?") and "for lunch" in card.text
    await telegram.press_button(ann, card, "Confirm")
    await seen(telegram, ann, "Sent 4.00 EUR", "Your balance is 6.00 EUR")
    await seen(telegram, ben, "sent you 4.00 EUR", "Your balance is 4.00 EUR")

    refused = await say(telegram, ann, f"/send {ben} 7 EUR")
    assert "You do not have 7.00 EUR. Your balance is 6.00 EUR." in refused.text
    for text, expected in {
        f"/send {ben} 5 GBP": "Amounts are in one of CREDIT, EUR, TON, not in GBP.",
        f"/send {ben} €5 TON": "Did you mean EUR or TON?",
        f"/send {ben} 1 000 EUR": "Did you mean",
        "/history GBP": "CREDIT, EUR, TON",
    }.items():
        assert expected in (await say(telegram, ann, text)).text

    page = await say(telegram, ann, "/history euro")
    assert "Your balance is 6.00 EUR" in page.text and "−4.00 EUR" in page.text
    assert "CREDIT" in page.text.splitlines()[-1]
    first = await say(telegram, ann, "/history")
    assert "+50.00 CREDIT" in first.text
    assert first.text.splitlines()[-1] == "Other currencies: /history EUR, /history TON"
    await all_settled(stack, telegram)
    assert_audit_passes(stack)
