"""A worker that is killed in the middle of a round, in each gap of it: what was asked is done once and answered."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from devstack.redis import EmbeddedRedis
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.acceptance.conftest import MakeStack
from tests.harness.people import (
    all_settled,
    answers,
    assert_audit_passes,
    balances,
    register,
    transfers,
)
from tests.harness.relay import Hold, holding_relay
from tests.harness.worker_deaths import (
    CLAIMED_BY_WRITE_SECONDS,
    frozen,
    held_at_once,
    lock_account,
    waits_for_a_lock,
)

ROUNDS = 1 + 2 + 4 + 8
"""Jobs that a worker takes in four rounds."""
HOLD_SECONDS_MAX = 60.0
CLAIM = b"workers.balances.decide_adjustment"
SENDING = b"/editMessageText"

GAPS = {
    "after the claim, which nobody was told of": ("redis", Hold(b"EVALSHA", CLAIM, "answer", skip=3)),
    "in a transaction": ("database", Hold()),
    "after the commits, with no answer out": ("telegram", Hold(b"POST", SENDING, "request", skip=0)),
    "with half of the answers out": ("telegram", Hold(b"POST", SENDING, "request", skip=6)),
    "after the answers, before they were noted": ("telegram", Hold(b"POST", SENDING, "answer", skip=6)),
    "before the finish": ("redis", Hold(b"EVALSHA", b"CREDIT", "request", skip=2)),
}
ANSWERED_TWICE = ("with half of the answers out", "before they were noted", "before the finish")
"""Where an answer is out and its job is not finished, Telegram takes it again: it knows no key."""


async def test_kill_9_of_a_worker_in_each_gap_of_a_round_loses_and_doubles_nothing(
    make_stack: MakeStack,
    redis_url: str,
    redis_server: EmbeddedRedis,
    telegram: TelegramControl,
    telegram_server: TelegramProcess,
) -> None:
    sent = ROUNDS * len(GAPS)
    admins = list(await telegram.create_users(sent, first_id=ADMIN_ID + 1, first_name="Admin"))
    stack = make_stack(ADMIN_IDS=",".join(map(str, admins)))
    stack.start("frontend", "light")
    stack.run("second", stack.program("main", node="second"))
    stack.wait_ready(processes=3)
    alice, boris = await register(telegram, "Alice", "Boris")
    for number, admin in enumerate(admins):
        # The sixth of each gap is the one whose account is locked, where one is.
        await telegram.send_text(admin, f"/credit {boris if number % ROUNDS == 5 else alice} 1")
    cards = [
        await telegram.wait_for_message(admin, lambda message: bool(message.buttons)) for admin in admins
    ]
    await all_settled(stack, telegram)
    twice_at_most = 0
    with ExitStack() as closing:
        redis_port, redis_hold = closing.enter_context(holding_relay(redis_server.port))
        telegram_port, telegram_hold = closing.enter_context(
            holding_relay(urlsplit(telegram_server.url).port or 0)
        )
        address = urlsplit(redis_url)._replace(netloc=f"{redis_server.login}@127.0.0.1:{redis_port}")
        main = stack.program("main")
        behind = replace(
            main,
            argv=[*main.argv[:-1], "1"],  # one child, which takes all rounds
            env={
                "REDIS_URL": address.geturl(),
                "TELEGRAM_API_URL": f"http://127.0.0.1:{telegram_port}",
            },
        )
        for number, (gap, (where, wanted)) in enumerate(GAPS.items()):
            hold = telegram_hold if where == "telegram" else redis_hold
            told_before = len(await answers(telegram, alice))
            some = number * ROUNDS + 4
            with frozen(stack, "second"), ExitStack() as locking:
                for card in cards[number * ROUNDS : (number + 1) * ROUNDS]:
                    await telegram.press_button(card.chat_id, card, "Confirm")
                await telegram.wait_until_acknowledged(timeout_seconds=HOLD_SECONDS_MAX)
                if where == "database":
                    lock_account(stack, boris, locking)
                hold.stop_at(wanted)
                await asyncio.sleep(CLAIMED_BY_WRITE_SECONDS)
                stack.run("main", behind)
                if where == "database":
                    await asyncio.to_thread(
                        stack.wait_until, lambda: waits_for_a_lock(stack), "a job waits for the lock"
                    )
                else:
                    assert await asyncio.to_thread(hold.reached.wait, HOLD_SECONDS_MAX), gap
                if gap.startswith("after the claim"):
                    assert held_at_once(stack) >= 4
                if not gap.startswith("after the commits") and not gap.endswith(ANSWERED_TWICE):
                    # Or answers of the rounds before might be out and not noted yet, and so come twice.
                    await asyncio.to_thread(
                        stack.wait_until,
                        partial(has_finished_what_is_done, stack, (number + 1) * ROUNDS),
                        "the rounds before are over",
                    )
                    assert where != "database" or waits_for_a_lock(stack)
                if gap.startswith("after the commits"):
                    await asyncio.to_thread(
                        stack.wait_until, partial(has_credited, stack, some), "several have taken effect"
                    )
                    assert len(await answers(telegram, alice)) == told_before
                stack.kill("main")
                hold.command = b""
            await all_settled(stack, telegram)
            if gap.endswith(ANSWERED_TWICE):
                twice_at_most += ROUNDS
            done = (number + 1) * ROUNDS
            assert transfers(stack, "credit") == done, gap
            told = sum("You were credited" in text for text in await answers(telegram, alice))
            assert done - number - 1 <= told <= done - number - 1 + twice_at_most, gap
    assert balances(stack)[alice] == (sent - len(GAPS)) * 100
    assert balances(stack)[boris] == len(GAPS) * 100
    for admin in admins:
        assert sum("Credited 1.00" in text for text in await answers(telegram, admin)) == 1
    assert_audit_passes(stack)


def has_credited(stack: Stack, times: int) -> bool:
    return transfers(stack, "credit") >= times


def has_finished_what_is_done(stack: Stack, orders: int) -> bool:
    """Whether no job on record has taken effect, of so many credits that were ordered."""
    # Read first, for it only falls and the other only grows.
    on_record = int(stack.redis.zcard("ballast:inbox:all"))
    return on_record + transfers(stack, "credit") == orders
