"""What operators start by `celery call`."""

from __future__ import annotations

import asyncio

from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.harness.people import all_settled, assert_audit_passes, balances, call, queue_task, register


async def test_an_operator_credits_from_the_command_line(stack: Stack, telegram: TelegramControl) -> None:
    (alice,) = await register(telegram, "Alice")
    call(stack, "workers.balances.adjust", {"telegram_id": alice, "amount": 550, "reason": "sorry"})
    told = await telegram.wait_for_message(alice, lambda message: "You were credited 5.50" in message.text)
    assert "sorry" in told.text
    await all_settled(stack, telegram)
    assert balances(stack)[alice] == 550
    assert_audit_passes(stack)


async def test_the_same_idempotency_key_again_takes_effect_once(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    refund = {"telegram_id": alice, "amount": 100, "idempotency_key": "refund-2026-11"}
    for _ in range(3):
        queue_task(stack, "workers.balances.adjust", refund)
    await telegram.wait_for_message(alice, lambda message: "You were credited" in message.text)
    queue_task(stack, "workers.balances.adjust", refund | {"idempotency_key": "another"})
    await asyncio.to_thread(stack.wait_until, lambda: balances(stack)[alice] == 200, "the other key's credit")
    await all_settled(stack, telegram)
    assert balances(stack)[alice] == 200
