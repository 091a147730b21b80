"""What operators start by hand, and what comes of it when it is wrong or was done before."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from dbcore import integration
from dbcore.integration import bot_safe_adjust_balance
from dbcore.outcomes import OutcomeStatus
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.harness.people import all_settled, assert_audit_passes, balances, queue_task, register


async def test_a_direct_call_and_the_same_call_queued_are_one_effect_in_the_operator_s_name(
    stack: Stack, telegram: TelegramControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bot beside Ballast leaves what was UNAVAILABLE or UNKNOWN to the workers, by the same key."""
    (ann,) = await register(telegram, "Ann")
    await all_settled(stack, telegram)
    monkeypatch.setenv("DATABASE_URL", stack.database_url)
    task = {"telegram_id": ann, "amount": 100, "actor": "telegram:1001"}
    try:
        assert bot_safe_adjust_balance(ann, 100, key="direct-first").status is OutcomeStatus.APPLIED
        queue_task(stack, "workers.balances.adjust", task | {"idempotency_key": "direct-first"})
        queue_task(stack, "workers.balances.adjust", task | {"idempotency_key": "queued-first"})
        await asyncio.to_thread(stack.wait_until, lambda: balances(stack)[ann] == 200, "both are applied")
        await all_settled(stack, telegram)
        assert bot_safe_adjust_balance(ann, 100, key="queued-first").status is OutcomeStatus.REPLAYED
    finally:
        integration.close()
    assert balances(stack)[ann] == 200
    made = stack.query(
        "SELECT idempotency_key, actor FROM transfers WHERE idempotency_key ~ '-first$' ORDER BY id"
    )
    assert made == [("direct-first", "bot"), ("queued-first", "operator:telegram:1001")]
    # Nor by way of a dead letter that is retried.
    queue_task(stack, "workers.balances.adjust", task | {"amount": 5, "idempotency_key": "queued-first"})
    letters = (
        "SELECT payload #>> '{fields,actor}' FROM failed_operations "
        "WHERE payload #>> '{fields,telegram_id}' = %s"
    )
    await asyncio.to_thread(stack.wait_until, lambda: bool(stack.query(letters, str(ann))), "it is refused")
    assert stack.query(letters, str(ann)) == [("operator:telegram:1001",)]
    assert_audit_passes(stack)


WRONG_ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"telegram_id": 5, "amuont": 100}, "amuont: Extra inputs are not permitted"),
    ({"amount": 100}, "expected either telegram_id or username"),
    ({"telegram_id": 5, "amount": "100"}, "amount: Input should be a valid integer, got '100'"),
    ({"telegram_id": 5, "amount": 100, "idempotency_key": "a b"}, "idempotency_key: expected 1 to 64"),
    ({"job_id": 17}, "job_id: Extra inputs are not permitted"),
]


async def test_a_wrong_argument_gets_a_clear_error_and_a_dead_letter(
    stack: Stack, telegram: TelegramControl
) -> None:
    task_ids = [queue_task(stack, "workers.balances.adjust", arguments) for arguments, _ in WRONG_ARGUMENTS]

    def letters() -> dict[str, Any]:
        rows = stack.query("SELECT job_id, kind, error, payload FROM failed_operations")
        return {job_id: rest for job_id, *rest in rows if job_id in task_ids}

    await asyncio.to_thread(stack.wait_until, lambda: len(letters()) == len(task_ids), "the dead letters")
    found = letters()
    for task_id, (arguments, complaint) in zip(task_ids, WRONG_ARGUMENTS, strict=True):
        kind, error, payload = found[task_id]
        assert kind == "balances.adjust"
        assert complaint in error
        assert payload["fields"].items() <= arguments.items()
        await asyncio.to_thread(stack.wait_until, partial(_logged, stack, complaint), "the error in the log")
    await all_settled(stack, telegram)


async def test_nobody_acts_in_an_operator_s_name_by_starting_what_their_press_would_ask_for(
    stack: Stack, telegram: TelegramControl
) -> None:
    (ann,) = await register(telegram, "Ann")
    await all_settled(stack, telegram)
    acts = "SELECT count(*) FROM admin_actions"
    acted = stack.query(acts)
    named = {"telegram_id": ADMIN_ID}
    forged: dict[str, dict[str, Any]] = {
        "workers.users.freeze": {**named, "person": ann, "is_frozen": True, "reason": "because"},
        "workers.users.grant_role": {**named, "person": str(ann), "role": "owner"},
        "workers.balances.approve": {**named, "approval": 1},
        "workers.transactions.approve_withdrawal": {**named, "number": 1},
        "workers.transactions.turn_payouts": {**named, "stop": True},
    }
    task_ids = [queue_task(stack, task, arguments) for task, arguments in forged.items()]
    for task in forged:
        complaint = f"{task}: only a press or a command in the chat asks for this"
        await asyncio.to_thread(stack.wait_until, partial(_logged, stack, complaint), "it is refused")
    await all_settled(stack, telegram)
    kept = "SELECT count(*) FROM failed_operations WHERE job_id = ANY(%s)"
    assert stack.query(kept, task_ids) == [(0,)], "nor is there anything that could be retried"
    assert stack.query(acts) == acted


def _logged(stack: Stack, complaint: str) -> bool:
    """By either: a remote command may have had both take from the queue."""
    return any(complaint in stack.log(name) for name in ("main", "light"))
