"""An app's jobs that are done in batches, by a worker that is killed or frozen in each gap: each is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

import aiohttp

from ballast.inbox.limits import PUBLISH_GRACE_MS
from devstack.redis import EmbeddedRedis
from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.acceptance.conftest import MakeStack
from tests.acceptance.giver import MOST, WRONG
from tests.harness.people import all_settled, answers, assert_audit_passes, balances, transfers
from tests.harness.relay import Hold, holding_relay
from tests.harness.worker_deaths import (
    CLAIMED_BY_WRITE_SECONDS,
    frozen,
    held_at_once,
    lock_account,
    waits_for_a_lock,
)

BATCH = 12
TAKEN_BEFORE = 2
"""Messages that may be on their way to the other worker when it is stopped."""
HOLD_SECONDS_MAX = 60.0
SENDING = b"/sendMessage"
FINISH = str(PUBLISH_GRACE_MS).encode()

GAPS = {
    "after the claim": ("redis", Hold(b"EVALSHA", b"workers.giver.give", "answer")),
    "in the transaction": ("database", Hold()),
    "frozen in the transaction": ("database", Hold()),
    "after the commit, with no answer out": ("telegram", Hold(b"POST", SENDING, "request")),
    "with half of the answers out": ("telegram", Hold(b"POST", SENDING, "request", skip=6)),
    "before the finish": ("redis", Hold(FINISH, b"webhook-", "request")),
}
COMMITTED = ("after the commit, with no answer out", "with half of the answers out", "before the finish")


async def test_a_batch_whose_worker_dies_in_any_gap_takes_effect_once_per_job(
    make_stack: MakeStack,
    redis_url: str,
    redis_server: EmbeddedRedis,
    telegram: TelegramControl,
    telegram_server: TelegramProcess,
) -> None:
    stack = make_stack(BALLAST_APPS="tests.acceptance.giver:app")
    stack.start("frontend", "light")
    stack.run("second", stack.program("main", node="second"))
    stack.wait_ready(processes=3)
    people = list(await telegram.create_users(BATCH, first_name="Friend"))
    await give(stack, people, "first")  # whose accounts there are then
    await all_settled(stack, telegram)
    with ExitStack() as closing:
        redis_port, redis_hold = closing.enter_context(holding_relay(redis_server.port))
        telegram_port, telegram_hold = closing.enter_context(
            holding_relay(urlsplit(telegram_server.url).port or 0)
        )
        address = urlsplit(redis_url)._replace(netloc=f"{redis_server.login}@127.0.0.1:{redis_port}")
        main = stack.program("main")
        behind = replace(
            main,
            argv=[*main.argv[:-1], "1"],  # one child, which takes the batch
            env={"REDIS_URL": address.geturl(), "TELEGRAM_API_URL": f"http://127.0.0.1:{telegram_port}"},
        )
        for number, (gap, (where, wanted)) in enumerate(GAPS.items(), 1):
            hold = telegram_hold if where == "telegram" else redis_hold
            with ExitStack() as going_on:
                going_on.enter_context(frozen(stack, "second"))
                locking = going_on.enter_context(ExitStack())
                await give(stack, people, gap)
                if where == "database":
                    lock_account(stack, people[5], locking)
                hold.stop_at(wanted)
                await asyncio.sleep(CLAIMED_BY_WRITE_SECONDS)
                stack.run("main", behind)
                if where == "database":
                    await asyncio.to_thread(
                        stack.wait_until, lambda: waits_for_a_lock(stack), "the batch waits for the lock"
                    )
                else:
                    assert await asyncio.to_thread(hold.reached.wait, HOLD_SECONDS_MAX), gap
                if gap == "after the claim":
                    assert held_at_once(stack) >= BATCH - TAKEN_BEFORE
                # All or nothing: it is one transaction.
                done = transfers(stack, "credit") - BATCH * number
                assert done >= BATCH - TAKEN_BEFORE if gap in COMMITTED else done == 0, gap
                if gap.startswith("frozen"):
                    with frozen(stack, "main"):
                        going_on.close()  # others take its jobs over, and it goes on with them too
                        await asyncio.to_thread(
                            stack.wait_until,
                            partial(has_new_holder, stack, holders_of_jobs(stack)),
                            "another worker has a job of the frozen one",
                        )
                    await all_settled(stack, telegram)
                stack.kill("main")
                hold.command = b""
            await all_settled(stack, telegram)
            assert transfers(stack, "credit") == BATCH * (number + 1), gap
            assert {*balances(stack).values()} == {100 * (number + 1)}, gap
    for person in people:
        told = await answers(telegram, person)
        assert {f"A gift. You have {100 * (number + 1)}." for number in range(len(GAPS) + 1)} == {*told}
    await give(stack, people, "first")  # as a provider that is not sure
    await all_settled(stack, telegram)
    assert transfers(stack, "credit") == BATCH * (len(GAPS) + 1)
    with frozen(stack, "second"):
        await give(stack, people, "poisoned", others={people[5]: WRONG, people[7]: MOST + 1})
    await all_settled(stack, telegram)
    alone = {people[5], people[7]}
    assert balances(stack) == {person: 100 * (len(GAPS) + 1 + (person not in alone)) for person in people}
    assert stack.query("SELECT count(*) FROM failed_operations") == [(len(alone),)]
    assert_audit_passes(stack)


async def give(stack: Stack, people: list[int], name: str, *, others: Mapping[int, int] = {}) -> None:
    """A provider says that each of them gets a gift.

    others -- amounts that are not 100.
    """
    url = f"http://127.0.0.1:{stack.ops_port}/apps/giver/gifts"
    async with aiohttp.ClientSession() as http:
        for person in people:
            event = {
                "user": person,
                "minor": others.get(person, 100),
                "id": f"{name.replace(' ', '-').replace(',', '')}-{person}",
            }
            async with http.post(url, json=event) as answer:
                assert answer.status == 200


def has_new_holder(stack: Stack, known: set[bytes]) -> bool:
    return bool(holders_of_jobs(stack) - known)


def holders_of_jobs(stack: Stack) -> set[bytes]:
    return {*stack.redis.scan_iter("ballast:inbox:held:*")}
