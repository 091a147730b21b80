"""What Telegram says of a payment, with the real processes: kept once, told to the admins, receipted."""

from __future__ import annotations

import asyncio
import time

import pytest

from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.harness.people import all_settled, answers, register, say

PATIENCE_SECONDS = 60.0


@pytest.mark.timeout(300)
async def test_a_payment_is_kept_once_receipted_once_and_told_to_the_admins_once(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    await say(telegram, ADMIN_ID, "/start")
    checkout = await telegram.check_out(alice, 100)
    refused = (await telegram.checkout(checkout, wait_seconds=PATIENCE_SECONDS))["answer"]
    assert (refused["ok"], "does not accept payments" in refused["error_message"]) == (False, True)

    paid = await telegram.pay(alice, 100, "charge-1")
    receipt = await telegram.wait_for_message(alice, lambda message: "charge-1" in message.text)
    assert "We received your payment of 100 Telegram Stars." in receipt.text
    assert {"type": "code", "offset": receipt.text.index("charge-1"), "length": 8} in receipt.message[
        "entities"
    ]
    assert paid.update_id is not None
    await telegram.redeliver(paid.update_id)
    await telegram.pay(alice, 100, "charge-1")  # an update of its own that says the same
    await telegram.pay(alice, 100, "charge-1", refunded=True)
    await telegram.wait_for_message(alice, lambda message: "was refunded" in message.text)
    await telegram.wait_for_message(ADMIN_ID, lambda message: "was refunded" in message.text)
    await all_settled(stack, telegram)

    rows = stack.query(
        "SELECT kind, charge_id, telegram_id, amount, currency FROM payment_events WHERE telegram_id = %s"
        " ORDER BY id",
        alice,
    )
    assert rows == [("paid", "charge-1", alice, 100, "XTR"), ("refunded", "charge-1", alice, 100, "XTR")]
    told = [text for text in await answers(telegram, ADMIN_ID) if "charge-1" in text]
    assert [text.startswith("Alarm: ") for text in told] == [True, True]
    receipts = [text for text in await answers(telegram, alice) if "charge-1" in text]
    assert len(receipts) == 2
    assert not any("only understand commands" in text for text in await answers(telegram, alice))
    await telegram.pay(alice, 5, "charge-1")
    await telegram.wait_for_message(ADMIN_ID, lambda message: "with another payer" in message.text)
    await asyncio.to_thread(stack.wait_until, lambda: stack.redis.zcard("ballast:inbox:all") == 0, "settled")
    # Each contradiction is told, to the payer too.
    await telegram.pay(alice, 12_345, "charge-1", currency="EUR")
    alarm = await telegram.wait_for_message(ADMIN_ID, lambda message: "123.45 EUR" in message.text)
    assert "with another payer" in alarm.text
    await telegram.pay(alice, 500, "charge-2", currency="JPY")
    alarm = await telegram.wait_for_message(ADMIN_ID, lambda message: "500 JPY" in message.text)
    assert "refundStarPayment" not in alarm.text
    unreadable = {
        "message_id": 990,
        "date": int(time.time()),
        "chat": {"id": alice, "type": "private", "first_name": "Alice"},
        "from": {"id": alice, "is_bot": False, "first_name": "Alice"},
        "successful_payment": {"currency": "", "total_amount": "5", "telegram_payment_charge_id": "c" * 257},
    }
    await telegram.inject({"message": unreadable})
    said = await telegram.wait_for_message(alice, lambda message: "could not read it" in message.text)
    reference = said.text.rsplit(" ", 1)[1]
    await telegram.wait_for_message(
        ADMIN_ID,
        lambda message: "payment that could not be read" in message.text and reference in message.text,
    )
    await asyncio.to_thread(stack.wait_until, lambda: stack.redis.zcard("ballast:inbox:all") == 0, "settled")
    receipts = [text for text in await answers(telegram, alice) if "charge-1" in text]
    assert ["another record" in text for text in receipts] == [False, False, True, True]
