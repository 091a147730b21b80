"""Withdrawals that a person pays, with the real processes: asked for, approved, declined and taken back in the chat."""

from __future__ import annotations

from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.acceptance.shared_stack import stack_of_file
from tests.harness.people import all_settled, assert_audit_passes, balances, register, say

PATIENCE_SECONDS = 60.0

telegram_server, telegram, shared_stack, stack = stack_of_file(lambda: {"WITHDRAWALS_BY": "manual"})


async def seen(telegram: TelegramControl, user: int, *words: str) -> SeenMessage:
    return await telegram.wait_for_message(
        user, lambda message: all(word in message.text for word in words), timeout_seconds=PATIENCE_SECONDS
    )


async def with_money(telegram: TelegramControl) -> int:
    """Somebody who has 50, and was told so."""
    (ann,) = await register(telegram, "Ann", credit="50")
    await seen(telegram, ann, "You were credited")
    return ann


async def confirmed(telegram: TelegramControl, user: int, text: str) -> SeenMessage:
    card = await say(telegram, user, text)
    await telegram.press_button(user, card, "Confirm")
    return await seen(telegram, user, "is reserved")


async def test_asked_for_step_by_step_approved_and_paid_by_a_person(
    stack: Stack, telegram: TelegramControl
) -> None:
    await say(telegram, ADMIN_ID, "/start")
    ann = await with_money(telegram)
    assert "How much" in (await say(telegram, ann, "/withdraw")).text
    assert "Where" in (await say(telegram, ann, "12,50")).text
    card = await say(telegram, ann, "IBAN <DE 12>")
    assert "12.50" in card.text and "IBAN <DE 12>" in card.text
    assert balances(stack)[ann] == 5_000
    await telegram.press_button(ann, card, "Confirm")
    assert "approve it" in (await seen(telegram, ann, "is reserved")).text

    asked = await seen(telegram, ADMIN_ID, "to be approved", "IBAN")
    await telegram.press_button(ADMIN_ID, asked, "Approve")
    waits = await seen(telegram, ADMIN_ID, "to be paid", "IBAN")
    await telegram.press_button(ADMIN_ID, waits, "It is paid")
    await seen(telegram, ADMIN_ID, "reference of the payment")
    await telegram.send_text(ADMIN_ID, "tx-77")
    told = await seen(telegram, ann, "is paid", "tx-77")
    assert "12.50" in told.text
    await all_settled(stack, telegram)
    assert balances(stack)[ann] == 3_750
    assert_audit_passes(stack)


async def test_declined_the_person_reads_why_and_has_the_money_back(
    stack: Stack, telegram: TelegramControl
) -> None:
    await say(telegram, ADMIN_ID, "/start")
    ann = await with_money(telegram)
    await confirmed(telegram, ann, "/withdraw 20 somewhere")
    assert "30.00" in (await say(telegram, ann, "/balance")).text
    asked = await seen(telegram, ADMIN_ID, "to be approved")
    await telegram.press_button(ADMIN_ID, asked, "Decline")
    await seen(telegram, ADMIN_ID, "The person reads this")
    await telegram.send_text(ADMIN_ID, "no such account")
    assert "yours again" in (await seen(telegram, ann, "no such account")).text
    await all_settled(stack, telegram)
    assert balances(stack)[ann] == 5_000
    assert_audit_passes(stack)


async def test_whoever_asked_sees_their_own_and_takes_one_back_before_anybody_approves_it(
    stack: Stack, telegram: TelegramControl
) -> None:
    await say(telegram, ADMIN_ID, "/start")
    ann = await with_money(telegram)
    (ben,) = await register(telegram, "Ben")
    assert "no withdrawals" in (await say(telegram, ben, "/withdrawals")).text
    await confirmed(telegram, ann, "/withdraw 20 somewhere")
    asked = await seen(telegram, ADMIN_ID, "to be approved")
    own = await say(telegram, ann, "/withdrawals")
    assert "to be approved" in own.text and "somewhere" in own.text
    # Not by somebody else, whatever they send.
    await telegram.press(ben, own.message_id, str(own.buttons[0][1]), force=True)
    await telegram.press_button(ann, own, "Take it back")
    await seen(telegram, ann, "yours again", "taken back")
    await telegram.press_button(ADMIN_ID, asked, "Approve")
    await seen(telegram, ADMIN_ID, "already ended")
    await all_settled(stack, telegram)
    assert balances(stack)[ann] == 5_000
    assert_audit_passes(stack)
