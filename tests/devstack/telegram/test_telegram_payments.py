"""What the local Telegram says of payments, to a real bot."""

from __future__ import annotations

import pytest
from telegram import Bot, LabeledPrice
from telegram.error import BadRequest

from devstack.telegram.control import ControlRefusedError, TelegramControl


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


async def test_an_invoice_is_paid_as_it_says_and_the_bot_is_told_its_payload(
    control: TelegramControl, bot: Bot
) -> None:
    bob = await control.create_user("Bob", started=True)
    price = LabeledPrice("Lamp", 100)
    sent = await bot.send_invoice(bob.id, "A lamp", "It is green.", "order 7", "XTR", [price])
    assert sent.invoice is not None
    assert (sent.invoice.total_amount, sent.invoice.currency) == (100, "XTR")
    (seen,) = await control.messages(bob.id, from_bot=True)
    assert (seen.text, seen.buttons) == ("A lamp\nIt is green.", [("Pay 100 XTR", None)])
    await control.check_out(bob.id, invoice=seen)
    await control.pay(bob.id, None, "charge-1", invoice=seen)
    asked, paid = await bot.get_updates(timeout=5)
    assert asked.pre_checkout_query is not None
    assert (asked.pre_checkout_query.total_amount, asked.pre_checkout_query.invoice_payload) == (
        100,
        "order 7",
    )
    assert paid.message is not None
    assert paid.message.successful_payment is not None
    assert paid.message.successful_payment.invoice_payload == "order 7"

    said = (await control.send_text(bob.id, "hello")).message
    with pytest.raises(ControlRefusedError, match="is no invoice"):
        await control.pay(bob.id, None, "charge-2", invoice=said)
    with pytest.raises(BadRequest, match="at least one price"):
        await bot.send_invoice(bob.id, "A lamp", "It is green.", "order 7", "XTR", [])
    with pytest.raises(BadRequest, match="Stars_invoice_invalid"):
        await bot.send_invoice(bob.id, "A lamp", "It is green.", "order 7", "XTR", [price, price])
    with pytest.raises(BadRequest, match="Payment_provider_invalid"):
        await bot.send_invoice(bob.id, "A lamp", "It is green.", "order 7", "EUR", [price])


async def test_the_book_of_stars_has_what_no_update_says(control: TelegramControl, bot: Bot) -> None:
    bob = await control.create_user("Bob", started=True)
    await control.pay(bob.id, 100, "charge-1", lost=True)
    await control.book_stars("w", 30, {"type": "fragment"}, nanostars=500_000_000, outgoing=True)
    assert await bot.get_updates(timeout=0) == ()
    paid, withdrawn = (await bot.get_star_transactions()).transactions
    assert (paid.id, paid.amount, paid.receiver) == ("charge-1", 100, None)
    assert (withdrawn.id, withdrawn.nanostar_amount, withdrawn.source) == ("w", 500_000_000, None)
    assert (await bot.get_star_transactions(offset=1, limit=1)).transactions == (withdrawn,)
    balance = await bot.get_my_star_balance()
    assert (balance.amount, balance.nanostar_amount) == (69, 500_000_000)
    with pytest.raises(BadRequest):
        await bot.get_star_transactions(limit=101)
    with pytest.raises(ControlRefusedError, match="already"):
        await control.book_stars("w", 1, {"type": "fragment"}, outgoing=True)
