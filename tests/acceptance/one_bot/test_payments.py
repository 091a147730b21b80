"""Payments with the real processes: credited once and taken back once. What is not ours is kept, told to the admins and
receipted. Telegram's own book of Stars is the same as ours.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.harness.people import all_settled, answers, pause, register, resume, say

PATIENCE_SECONDS = 60.0


@pytest.mark.timeout(300)
async def test_a_payment_is_kept_once_receipted_once_and_told_to_the_admins_once(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    await say(telegram, ADMIN_ID, "/start")
    checkout = await telegram.check_out(alice, 100)
    refused = (await telegram.checkout(checkout, wait_seconds=PATIENCE_SECONDS))["answer"]
    assert (refused["ok"], "is not valid" in refused["error_message"]) == (False, True)

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


async def invoice_of(telegram: TelegramControl, user_id: int, stars: int) -> SeenMessage:
    await say(telegram, user_id, f"/deposit {stars}")
    return await telegram.wait_for_message(
        user_id,
        lambda message: (message.message.get("invoice") or {}).get("total_amount") == stars,
        timeout_seconds=PATIENCE_SECONDS,
    )


def booked_of(stack: Stack, user_id: int) -> list[tuple[int, int, bool]]:
    """Stars, minor units, and whether they were refunded."""
    return stack.query(
        "SELECT p.stars, p.amount, p.refunded_at IS NOT NULL FROM star_payments p"
        " JOIN users u ON u.id = p.user_id WHERE u.telegram_id = %s ORDER BY p.id",
        user_id,
    )


@pytest.mark.timeout(300)
async def test_each_charge_of_an_invoice_is_one_credit_to_whoever_paid_and_a_refund_takes_it_back(
    stack: Stack, telegram: TelegramControl
) -> None:
    (ann, ben) = await register(telegram, "Ann", "Ben")
    await say(telegram, ann, "/deposit")
    offered = await telegram.wait_for_message(ann, lambda message: "How many Telegram Stars" in message.text)
    assert "50" in str(offered.message["reply_markup"])
    await say(telegram, ann, "/paysupport")
    await telegram.wait_for_message(ann, lambda message: "@support_of_ours" in message.text)
    invoice = await invoice_of(telegram, ann, 50)
    agreed = await telegram.check_out(ann, None, invoice=invoice)
    assert (await telegram.checkout(agreed, wait_seconds=PATIENCE_SECONDS))["answer"]["ok"] is True

    before = await telegram.last_revision()
    paid = await telegram.pay(ann, None, "stars-1", invoice=invoice)
    receipt = await telegram.wait_for_message(ann, lambda message: "Receipt number" in message.text)
    assert "50.00 CREDIT was added to your balance." in receipt.text
    assert paid.update_id is not None
    await telegram.redeliver(paid.update_id)
    await telegram.pay(ann, None, "stars-1", invoice=invoice)  # said by another update
    await telegram.pay(ann, None, "stars-2", invoice=invoice)  # paid again
    payload = stack.query("SELECT payload FROM star_payments WHERE charge_id = 'stars-1'")[0][0]
    await telegram.pay(ben, 50, "stars-3", payload=payload)  # by somebody else
    await all_settled(stack, telegram)
    assert booked_of(stack, ann) == [(50, 5_000, False), (50, 5_000, False)]
    assert booked_of(stack, ben) == [(50, 5_000, False)]
    receipts = [
        message.text
        for message in await telegram.messages(ann, after=before)
        if "Receipt number" in message.text
    ]
    assert len(receipts) == 2

    await say(telegram, ann, "/deposit 50 link")
    await telegram.wait_for_message(ann, lambda message: "https://t.me/$local" in message.text)

    # Spent, and then refunded by somebody's call: a debt, which the admins hear of.
    await say(telegram, ben, f"/send {ann} 20")
    asked = await telegram.wait_for_message(ben, lambda message: "Confirm" in str(message.message))
    await telegram.press_button(ben, asked, "Confirm")
    await all_settled(stack, telegram)
    refund = await telegram.pay(ben, 50, "stars-3", payload=payload, refunded=True)
    owes = await telegram.wait_for_message(ben, lambda message: "You owe" in message.text)
    assert "You owe 20.00 CREDIT" in owes.text
    await telegram.wait_for_message(
        ADMIN_ID, lambda message: "owes" in message.text and "20.00" in message.text
    )
    assert refund.update_id is not None
    await telegram.redeliver(refund.update_id)
    await all_settled(stack, telegram)
    assert booked_of(stack, ben) == [(50, 5_000, True)]
    await books_are_the_same(stack, telegram)


@pytest.mark.timeout(300)
async def test_a_payment_that_comes_while_the_workers_are_dead_is_credited_once(
    stack: Stack, telegram: TelegramControl
) -> None:
    (eve,) = await register(telegram, "Eve")
    invoice = await invoice_of(telegram, eve, 100)
    stack.kill("main")
    stack.kill("light")
    await telegram.pay(eve, None, "stars-9", invoice=invoice)
    await asyncio.to_thread(stack.wait_until, lambda: stack.redis.zcard("ballast:inbox:all") > 0, "recorded")
    stack.start("main", "light")
    await telegram.wait_for_message(
        eve, lambda message: "Receipt number" in message.text, timeout_seconds=PATIENCE_SECONDS
    )
    await all_settled(stack, telegram)
    assert booked_of(stack, eve) == [(100, 10_000, False)]

    # And while the database is held back, which the payer is told. The report comes twice, and a worker dies meanwhile.
    await pause(stack)
    paid = await telegram.pay(eve, None, "stars-10", invoice=invoice)
    await telegram.wait_for_message(
        eve, lambda message: "Your payment is saved" in message.text, timeout_seconds=PATIENCE_SECONDS
    )
    assert paid.update_id is not None
    await telegram.redeliver(paid.update_id)
    stack.kill("main")
    stack.start("main")
    await resume(stack)
    receipt = await telegram.wait_for_message(
        eve,
        lambda message: "Receipt number" in message.text and "stars-10" in message.text,
        timeout_seconds=PATIENCE_SECONDS,
    )
    assert "Your balance is 200.00 CREDIT." in receipt.text

    # By an invoice that was signed with another token: the Stars have come, and they go as they came.
    payload = f"b1:30:999999:CREDIT:{int(time.time())}:{'x' * 22}"
    for is_refund, balance in ((False, "230.00"), (True, "200.00")):
        await telegram.pay(eve, 30, "stars-11", payload=payload, refunded=is_refund)
        await telegram.wait_for_message(
            eve,
            lambda message, balance=balance: (
                f"Your balance is {balance} CREDIT." in message.text  # type: ignore[misc]
                and "stars-11" in message.text
            ),
            timeout_seconds=PATIENCE_SECONDS,
        )
    await all_settled(stack, telegram)
    assert booked_of(stack, eve) == [(100, 10_000, False), (100, 10_000, False), (30, 3_000, True)]
    await books_are_the_same(stack, telegram)


def refunded(stack: Stack, user_id: int) -> set[str]:
    rows = stack.query(
        "SELECT p.charge_id FROM star_payments p JOIN users u ON u.id = p.user_id"
        " WHERE u.telegram_id = %s AND p.refunded_at IS NOT NULL",
        user_id,
    )
    return {charge_id for (charge_id,) in rows}


async def refund_card(stack: Stack, telegram: TelegramControl, user_id: int, said: str) -> SeenMessage:
    after = await telegram.last_revision()
    await say(telegram, user_id, said)
    return await telegram.wait_for_message(
        user_id,
        lambda message: message.revision > after and "Confirm" in str(message.message.get("reply_markup")),
        timeout_seconds=PATIENCE_SECONDS,
    )


@pytest.mark.timeout(300)
async def test_a_refund_is_held_asked_and_booked_once_whatever_telegram_answers_first(
    stack: Stack, telegram: TelegramControl
) -> None:
    (fay,) = await register(telegram, "Fay")
    await say(telegram, ADMIN_ID, "/start")
    invoice = await invoice_of(telegram, fay, 50)
    for charge in ("back-1", "back-2", "back-3", "back-4"):
        await telegram.pay(fay, None, charge, invoice=invoice)
    await all_settled(stack, telegram)

    # By an admin: Telegram gives the Stars back, and its answer is lost. It is asked again, by the charge.
    card = await refund_card(stack, telegram, ADMIN_ID, "/refund back-1")
    assert "Refund 50 Telegram Stars to “Fay” (@fay)?" in card.text
    await telegram.add_fault("reset", methods=["refundStarPayment"], when="after", count=1)
    await telegram.press_button(ADMIN_ID, card, "Confirm")
    await telegram.wait_for_message(
        ADMIN_ID,
        lambda message: "Refunded 50 Telegram Stars" in message.text,
        timeout_seconds=PATIENCE_SECONDS,
    )
    told = await telegram.wait_for_message(
        fay, lambda message: "was refunded" in message.text and "back-1" in message.text
    )
    assert "Your balance is 150.00 CREDIT." in told.text

    # By the payer, while the workers are dead after the press, and Telegram is away first.
    card = await refund_card(stack, telegram, fay, "/refund")
    last = card.text.partition("Charge ID: ")[2].split("\n")[0]
    await telegram.add_fault("bad_gateway", methods=["refundStarPayment"], count=1)
    await telegram.press_button(fay, card, "Confirm")
    await asyncio.to_thread(
        stack.wait_until,
        lambda: (
            stack.query("SELECT count(*) FROM star_refunds WHERE status = 'asked'") == [(1,)]
            or last in refunded(stack, fay)
        ),
        "held",
    )
    stack.kill("main")
    stack.kill("light")
    stack.start("main", "light")
    await telegram.wait_for_message(
        fay,
        lambda message: "was refunded" in message.text and last in message.text,
        timeout_seconds=PATIENCE_SECONDS,
    )

    # Telegram refuses: what was held is available again.
    other = next(charge for charge in ("back-2", "back-3") if charge != last)
    card = await refund_card(stack, telegram, ADMIN_ID, "/refund " + other)
    await telegram.add_fault(
        "error", methods=["refundStarPayment"], description="Bad Request: CHARGE_ID_INVALID", count=1
    )
    await telegram.press_button(ADMIN_ID, card, "Confirm")
    await telegram.wait_for_message(
        ADMIN_ID,
        lambda message: (
            "Telegram did not refund" in message.text and "charge_id_invalid" in message.text.lower()
        ),
        timeout_seconds=PATIENCE_SECONDS,
    )
    await all_settled(stack, telegram)
    assert stack.query("SELECT count(*) FROM holds WHERE status = 'open'") == [(0,)]

    # From the shell, with the same question. Nobody else can refund it meanwhile, and not twice.
    number = stack.query("SELECT id FROM star_payments WHERE charge_id = %s", other)[0][0]
    unasked = await asyncio.to_thread(stack.command, "ballast", "refund", str(number))
    assert (unasked.returncode, "nothing was done: there is no terminal to ask at" in unasked.stderr) == (
        1,
        True,
    )
    done = await asyncio.to_thread(stack.command, "ballast", "refund", str(number), "--yes")
    assert done.returncode == 0, done.stderr
    assert f"Payment {number} is refunded" in done.stdout
    again = await asyncio.to_thread(stack.command, "ballast", "refund", other, "--yes")
    assert (again.returncode, "The payment had already been refunded" in again.stderr) == (1, True)
    await say(telegram, fay, f"/refund {other}")
    await telegram.wait_for_message(fay, lambda message: "already refunded" in message.text)
    await all_settled(stack, telegram)
    assert refunded(stack, fay) == {"back-1", other, last}
    receipts = [text for text in await answers(telegram, fay) if "was refunded" in text]
    assert len(receipts) == 3
    await books_are_the_same(stack, telegram)


async def books_are_the_same(stack: Stack, telegram: TelegramControl) -> None:
    """What was paid by invoices of this bot, subscriptions too, in Telegram's book and in the ledger."""
    theirs = (await telegram.star_book())["transactions"]
    ours = stack.query(
        "SELECT charge_id, stars, false FROM star_payments UNION ALL"
        " SELECT charge_id, stars, true FROM star_payments WHERE refunded_at IS NOT NULL"
    )
    of_invoices = [row for row in theirs if row["payload"].startswith(("b1:", "s1:"))]
    assert sorted(ours) == sorted((row["charge_id"], row["stars"], row["is_refund"]) for row in of_invoices)
    ((in_ledger,),) = stack.query(
        "SELECT -coalesce(sum(e.amount), 0)::bigint FROM entries e"
        " JOIN system_accounts s USING (account_id) WHERE s.name = 'stars'"
    )
    assert in_ledger == 100 * sum(-row["stars"] if row["is_refund"] else row["stars"] for row in of_invoices)
