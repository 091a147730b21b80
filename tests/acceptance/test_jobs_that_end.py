"""Jobs that cannot be done end, and their users are told; their lanes go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg2

from ballast.builtin.balances import AdjustBalance, ShowBalance
from dbcore.breaker import FleetStore
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness.jobs import FAILED, accept, hurried, in_lane_of
from tests.harness.people import all_settled, answers, assert_audit_passes, balances, register, say
from workers.giving_back import DELIVERIES_MAX


@contextmanager
def account_locked(stack: Stack, telegram_id: int) -> Iterator[None]:
    """Somebody's forgotten transaction holds it."""
    holder = psycopg2.connect(stack.database_url)
    with holder.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM accounts a JOIN users u ON u.id = a.user_id WHERE u.telegram_id = %s FOR UPDATE OF a",
            (telegram_id,),
        )
    try:
        yield
    finally:
        holder.close()


def letters(stack: Stack) -> list[tuple[Any, ...]]:
    return stack.query("SELECT kind, error FROM failed_operations ORDER BY id")


async def test_a_job_that_is_slow_while_the_database_is_well_ends_and_its_user_is_told(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack(DB_DEADLINE_SECONDS="1")
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    ann, ben = await register(telegram, "Ann", "Ben")
    await say(telegram, ADMIN_ID, "/start")  # only then can the bot write to them
    await all_settled(stack, telegram)
    credit = AdjustBalance(telegram_id=ann, amount=100)
    with account_locked(stack, ann):
        accept(
            stack,
            in_lane_of(ben, credit, "slow"),
            in_lane_of(ben, ShowBalance(telegram_id=ben, first_name="Ben"), "next"),
        )
        # As if the last outage were long over: the alarm could ring. The job's age says nothing of the workers.
        FleetStore(stack.redis).change(
            lambda fleet, now: replace(fleet, version=fleet.version + 1, since=now - 600), "test"
        )
        stack.redis.zincrby("ballast:inbox:all", -60_000, "slow")
        await hurried(stack, lambda: bool(letters(stack)), "it has failed")
        await telegram.wait_for_message(ben, lambda message: message.text.startswith(FAILED))
        await all_settled(stack, telegram)
        told = await answers(telegram, ben)
        assert sum("Your balance is" in text for text in told) == 2  # /start's, and of the job behind it
        assert not any("is saved" in text or "technical problem" in text for text in told)
        alarms = [message.text for message in await telegram.messages(ADMIN_ID, from_bot=True)]
        assert not any("Commands are not being answered" in text for text in alarms)
        assert stack.get("/health")[1]["database"]["breaker"] == "closed"
    ((kind, error),) = letters(stack)
    assert kind == "balances.adjust"
    assert f"gave up after {DELIVERIES_MAX} tries that each took too long" in error
    ((reference,),) = stack.query("SELECT reference FROM failed_operations")
    retried = stack.command("workers", "dead-letters", "retry", reference)
    assert retried.returncode == 0, retried.stderr
    await all_settled(stack, telegram)
    assert balances(stack)[ann] == 100
    assert_audit_passes(stack)
