"""Withdrawals with the real processes and a local stand-in: paid once whatever is delivered twice and whoever is
killed, and stopped by a switch. Those that a person pays are in test_withdrawals_by_hand.py.
"""

from __future__ import annotations

import asyncio
import signal

from devstack import providers as local
from devstack.ports import free_port
from devstack.providers import LocalProviders
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.shared_stack import stack_of_file, stand_in_of_file
from tests.acceptance.test_withdrawals_by_hand import PATIENCE_SECONDS, confirmed, seen, with_money
from tests.harness.people import all_settled, assert_audit_passes, balances, queue_task, say

OF_ONE = "FROM users u WHERE u.id = w.user_id AND u.telegram_id = %s RETURNING w.id"


def by_crypto_pay() -> dict[str, str]:
    return {
        "CRYPTO_PAY_TOKEN": local.CRYPTO_PAY_TOKEN,
        "CRYPTO_PAY_URL": f"http://127.0.0.1:{free_port()}",
        "WITHDRAWALS_BY": "crypto_pay",
        "WITHDRAWALS_AUTO": "10",
        "WITHDRAWALS_LIMIT": "20",
    }


telegram_server, telegram, shared_stack, stack = stack_of_file(by_crypto_pay)
stand_in = stand_in_of_file()


async def sweep(stack: Stack) -> None:
    await asyncio.to_thread(queue_task, stack, "workers.payouts.sweep", {}, queue="health")


async def test_paid_by_the_provider_once_while_workers_are_killed_and_the_answer_is_lost(
    stack: Stack, telegram: TelegramControl, stand_in: LocalProviders
) -> None:
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
    past = "UPDATE withdrawals w SET attempt_at = now() - interval '1 hour', due_at = now() " + OF_ONE
    await asyncio.to_thread(stack.query, past, ann)
    stand_in.late_seconds = 0.0
    await sweep(stack)
    await seen(telegram, ann, "is paid", "Reference:")
    await all_settled(stack, telegram)
    assert len(stand_in.transfers) == 1
    assert balances(stack)[ann] == 4_500
    assert_audit_passes(stack)


async def test_stopped_nobody_is_paid_and_people_are_told_until_payouts_go_on(
    stack: Stack, telegram: TelegramControl, stand_in: LocalProviders
) -> None:
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
    stack: Stack, telegram: TelegramControl, stand_in: LocalProviders
) -> None:
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
    stack: Stack, telegram: TelegramControl, stand_in: LocalProviders
) -> None:
    await say(telegram, ADMIN_ID, "/start")
    ann = await with_money(telegram)
    stand_in.garbage = b"<html>maintenance</html>"
    await confirmed(telegram, ann, "/withdraw 5")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not stand_in.transfers:
            await asyncio.sleep(0.02)
    before = "now() - interval '1 hour'"
    past = f"UPDATE withdrawals w SET asked_at = {before}, attempt_at = {before} {OF_ONE}"
    ((number,),) = await asyncio.to_thread(stack.query, past, ann)
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
