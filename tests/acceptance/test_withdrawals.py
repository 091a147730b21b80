"""Withdrawals with the real processes and a local stand-in: asked for and approved in the chat, paid once whatever is
delivered twice and whoever is killed, and stopped by a switch.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest_asyncio

from devstack import providers as local
from devstack.providers import LocalProviders
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.acceptance.conftest import MakeStack
from tests.harness.people import all_settled, assert_audit_passes, balances, register, say

PATIENCE_SECONDS = 60.0


@pytest_asyncio.fixture
async def stand_in() -> AsyncIterator[LocalProviders]:
    async with LocalProviders() as providers:
        yield providers


def at_work(make_stack: MakeStack, **options: str) -> Stack:
    stack = make_stack(**options)
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    return stack


def by_crypto_pay(stand_in: LocalProviders) -> dict[str, str]:
    return {
        "CRYPTO_PAY_TOKEN": local.CRYPTO_PAY_TOKEN,
        "CRYPTO_PAY_URL": stand_in.url,
        "WITHDRAWALS_BY": "crypto_pay",
        "WITHDRAWALS_AUTO": "10",
        "WITHDRAWALS_LIMIT": "20",
    }


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


async def sweep(stack: Stack) -> None:
    swept = await asyncio.to_thread(
        stack.command, "celery", "-A", "workers", "call", "workers.payouts.sweep", "--queue", "health"
    )
    assert swept.returncode == 0, swept.stderr


async def test_asked_for_step_by_step_approved_and_paid_by_a_person(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = at_work(make_stack, WITHDRAWALS_BY="manual")
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
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = at_work(make_stack, WITHDRAWALS_BY="manual")
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
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = at_work(make_stack, WITHDRAWALS_BY="manual")
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


async def test_paid_by_the_provider_once_while_workers_are_killed_and_the_answer_is_lost(
    make_stack: MakeStack, telegram: TelegramControl, stand_in: LocalProviders
) -> None:
    stack = at_work(make_stack, **by_crypto_pay(stand_in))
    ann = await with_money(telegram)
    stand_in.loses, stand_in.late_seconds = 1, 1.0
    assert "at once" in (await say(telegram, ann, "/withdraw 20.01")).text
    card = await say(telegram, ann, "/withdraw 5")
    await telegram.press_button(ann, card, "Confirm")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "POST /api/transfer" not in stand_in.asked:
            await asyncio.sleep(0.02)
    stack.kill("main")
    stack.start("main")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not stand_in.transfers:
            await asyncio.sleep(0.02)
    past = "UPDATE withdrawals SET attempt_at = now() - interval '1 hour', due_at = now() RETURNING 1"
    await asyncio.to_thread(stack.query, past)
    stand_in.late_seconds = 0.0
    await sweep(stack)
    await seen(telegram, ann, "is paid", "Reference:")
    await all_settled(stack, telegram)
    assert len(stand_in.transfers) == 1
    assert balances(stack)[ann] == 4_500
    assert_audit_passes(stack)


async def test_stopped_nobody_is_paid_and_people_are_told_until_payouts_go_on(
    make_stack: MakeStack, telegram: TelegramControl, stand_in: LocalProviders
) -> None:
    stack = at_work(make_stack, **by_crypto_pay(stand_in))
    await say(telegram, ADMIN_ID, "/start")
    ann = await with_money(telegram)
    overview = await say(telegram, ADMIN_ID, "/withdrawals")
    await telegram.press_button(ADMIN_ID, overview, "Stop all payouts")
    stopped = await seen(telegram, ADMIN_ID, "Payouts are stopped since")
    assert "stopped at the moment" in (await say(telegram, ann, "/withdraw 5")).text
    stack.kill("main")
    stack.start("main")
    assert "stopped at the moment" in (await say(telegram, ann, "/withdraw 5")).text
    await telegram.press_button(ADMIN_ID, stopped, "Go on with payouts")
    await telegram.wait_for_message(
        ADMIN_ID,
        lambda message: message.text.startswith("0 withdrawals are open"),
        after=stopped.revision,
        timeout_seconds=PATIENCE_SECONDS,
    )
    await confirmed(telegram, ann, "/withdraw 5")
    await seen(telegram, ann, "is paid", "Reference:")
    await all_settled(stack, telegram)
    assert len(stand_in.transfers) == 1
    assert_audit_passes(stack)


async def test_pressed_twice_and_delivered_five_times_by_workers_that_are_frozen_and_killed_it_is_paid_once(
    make_stack: MakeStack, telegram: TelegramControl, stand_in: LocalProviders
) -> None:
    stack = at_work(make_stack, **by_crypto_pay(stand_in))
    await say(telegram, ADMIN_ID, "/start")
    ann = await with_money(telegram)
    card = await say(telegram, ann, "/withdraw 15")
    stack.send_signal("main", signal.SIGSTOP)
    confirm = str(card.buttons[0][1])
    await telegram.press(ann, card.message_id, confirm, deliveries=5)
    await telegram.press(ann, card.message_id, confirm, force=True)
    stack.kill("main")
    stack.start("main")
    asked = await seen(telegram, ADMIN_ID, "to be approved")
    approve = str(asked.buttons[0][1])
    stack.kill("main")
    await telegram.press(ADMIN_ID, asked.message_id, approve, deliveries=5)
    stack.start("main")
    await seen(telegram, ann, "is paid", "Reference:")
    await all_settled(stack, telegram)
    assert [each["amount"] for each in stand_in.transfers.values()] == ["15"]
    assert stand_in.asked.count("POST /api/transfer") == 1
    assert balances(stack)[ann] == 3_500
    assert_audit_passes(stack)


async def test_one_whose_provider_does_not_say_is_an_alarm_on_the_page_and_in_the_shell_until_somebody_looked(
    make_stack: MakeStack, telegram: TelegramControl, stand_in: LocalProviders
) -> None:
    stack = at_work(make_stack, **by_crypto_pay(stand_in))
    await say(telegram, ADMIN_ID, "/start")
    ann = await with_money(telegram)
    stand_in.garbage = b"<html>maintenance</html>"
    await confirmed(telegram, ann, "/withdraw 5")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not stand_in.transfers:
            await asyncio.sleep(0.02)
    past = "UPDATE withdrawals SET asked_at = now() - interval '1 h', attempt_at = now() - interval '1 h' RETURNING id"
    ((number,),) = await asyncio.to_thread(stack.query, past)
    await sweep(stack)
    alarm = await seen(telegram, ADMIN_ID, f"Withdrawal {number} is stuck", "crypto_pay has not said")
    key = next(iter(stand_in.transfers))
    assert key in alarm.text
    await asyncio.to_thread(
        stack.wait_until,
        lambda: [each["number"] for each in stack.get("/status.json")[1]["payouts"]["stuck"]] == [number],
        "the page shows it",
    )
    listed = await asyncio.to_thread(stack.command, "ballast", "withdrawals", "list")
    assert f"{number} is stuck" in listed.stdout
    assert key in listed.stdout
    said = await asyncio.to_thread(
        stack.command, "ballast", "withdrawals", "paid", str(number), "seen there", "--yes"
    )
    assert said.returncode == 0, said.stderr
    await seen(telegram, ann, "is paid", "seen there")
    await sweep(stack)
    await seen(telegram, ADMIN_ID, "Alarm over", f"Withdrawal {number} was stuck")
    await all_settled(stack, telegram)
    assert balances(stack)[ann] == 4_500
    assert_audit_passes(stack)
