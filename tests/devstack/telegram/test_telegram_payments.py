"""What the local Telegram says of payments, to a real bot."""

from __future__ import annotations

import pytest
from telegram import Bot
from telegram.error import BadRequest

from devstack.telegram.control import TelegramControl


async def test_the_question_before_a_payment_is_answered_once_within_ten_seconds(
    control: TelegramControl, bot: Bot
) -> None:
    bob = await control.create_user("Bob")
    query_id = await control.check_out(bob.id, 100, payload="order 7")
    (update,) = await bot.get_updates(allowed_updates=["pre_checkout_query"], timeout=5)
    query = update.pre_checkout_query
    assert query is not None
    assert (query.id, query.from_user.id, query.total_amount, query.currency, query.invoice_payload) == (
        query_id,
        bob.id,
        100,
        "XTR",
        "order 7",
    )
    with pytest.raises(BadRequest, match="non-empty"):
        await bot.answer_pre_checkout_query(query.id, ok=False)
    await bot.answer_pre_checkout_query(query.id, ok=False, error_message="Sold out.")
    assert (await control.checkout(query_id))["answer"] == {"ok": False, "error_message": "Sold out."}
    with pytest.raises(BadRequest, match="too old"):
        await bot.answer_pre_checkout_query(query.id, ok=True)
    late = await control.check_out(bob.id, 100)
    await control.advance_clock(11)
    with pytest.raises(BadRequest, match="too old"):
        await bot.answer_pre_checkout_query(late, ok=True)


async def test_a_payment_and_its_refund_come_as_messages(control: TelegramControl, bot: Bot) -> None:
    bob = await control.create_user("Bob", started=True)
    await control.pay(bob.id, 100, "charge-1")
    await control.pay(bob.id, 100, "charge-1", refunded=True)
    paid, refunded = await bot.get_updates(timeout=5)
    assert paid.message is not None
    assert paid.message.successful_payment is not None
    assert paid.message.successful_payment.telegram_payment_charge_id == "charge-1"
    assert refunded.message is not None
    assert refunded.message.refunded_payment is not None
    assert refunded.message.refunded_payment.total_amount == 100
    assert (paid.message.from_user, refunded.message.from_user) == (paid.effective_user, bot.bot)
    assert (paid.message.chat.id, refunded.message.chat.id) == (bob.id, bob.id)
