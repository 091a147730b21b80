"""Jobs that cannot be done end, and their users are told; their lanes go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg2

from ballast.builtin.balances import AdjustBalance, ShowBalance
from ballast.envelope import Envelope
from ballast.inbox.limits import UNKNOWN_KIND_SECONDS
from ballast.jobs import Job
from dbcore.breaker import FleetStore
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness.people import all_settled, answers, assert_audit_passes, balances, register, say
from tests.harness.queueing import queueing_at
from workers.giving_back import DELIVERIES_MAX

FAILED = "Sorry, something went wrong on our side."


def in_lane_of(person: int, job: Job, job_id: str) -> Envelope:
    return Envelope.of(job, job_id=job_id, lane=f"user:{person}", chat_id=person)


def accept(stack: Stack, *envelopes: Envelope) -> None:
    """Take jobs on record as a frontend does."""
    with queueing_at(stack.env["REDIS_URL"]) as queueing:
        for envelope in envelopes:
            dispatch = queueing.inbox.accept(envelope).dispatch
            if dispatch is not None:
                queueing.publisher.publish(dispatch)


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


async def hurried(stack: Stack, done: Callable[[], bool], what: str) -> None:
    """Until it is done, with the waits between the tries of a job made short."""

    def look() -> bool:
        for waiting in stack.redis.zrange("ballast:inbox:due", 0, -1):
            stack.redis.zadd("ballast:inbox:due", {bytes(waiting): 0}, xx=True)  # type: ignore[arg-type]  # not decoded
        return done()

    await asyncio.to_thread(stack.wait_until, look, what)


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


async def test_a_kind_that_no_worker_knows_fails_with_a_grace_and_its_lane_goes_on(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    """Of a queue that there is, and of one that there is not."""
    stack = make_stack()
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    kinds = {"balances.newfangled": "Ann", "shop.redeem": "Ben"}
    people = dict(zip(kinds, await register(telegram, *kinds.values()), strict=True))
    await all_settled(stack, telegram)
    for kind, person in people.items():
        unknown = Envelope(
            job_id=f"new-{person}",
            lane=f"user:{person}",
            kind=kind,
            fields={"code": "HELLO"},
            chat_id=person,
        )
        accept(stack, unknown, in_lane_of(person, ShowBalance(telegram_id=person), f"next-{person}"))
    records = [f"ballast:inbox:job:new-{person}" for person in people.values()]

    def noted() -> bool:
        return all(stack.redis.hexists(record, "unknown_since") for record in records)

    await hurried(stack, noted, "workers were handed them")
    assert letters(stack) == []
    for record in records:  # as if the time for other workers to come were over
        stack.redis.hincrby(record, "unknown_since", -1000 * UNKNOWN_KIND_SECONDS)
    await hurried(stack, lambda: len(letters(stack)) == len(kinds), "they have failed")
    for person in people.values():
        await telegram.wait_for_message(person, lambda message: message.text.startswith(FAILED))
    await all_settled(stack, telegram)
    for person in people.values():
        assert sum("Your balance is" in text for text in await answers(telegram, person)) == 2
    assert {
        kind: f"no worker knows the kind '{kind}'" in error for kind, error in letters(stack)
    } == dict.fromkeys(kinds, True)
