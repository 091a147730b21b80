"""A frontend that is killed in the middle of a batch, in each gap of it: what was asked is done once and answered."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import urlsplit

from devstack.redis import EmbeddedRedis
from devstack.stack import ADMIN_ID
from devstack.telegram.control import TelegramControl
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

BATCH = 10
HOLD_SECONDS_MAX = 60.0

GAPS = {
    "before the record and its message": Hold(b"EVALSHA", b"balances.decide_adjustment", "request"),
    "after both, which nobody was told of": Hold(b"EVALSHA", b"balances.decide_adjustment", "answer"),
}


async def test_kill_9_of_the_frontend_in_each_gap_of_a_batch_loses_and_doubles_nothing(
    make_stack: MakeStack, redis_url: str, redis_server: EmbeddedRedis, telegram: TelegramControl
) -> None:
    sent = BATCH * len(GAPS)
    admins = list(await telegram.create_users(sent, first_id=ADMIN_ID + 1, first_name="Admin"))
    stack = make_stack(ADMIN_IDS=",".join(map(str, admins)))
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    (alice,) = await register(telegram, "Alice")
    for admin in admins:
        await telegram.send_text(admin, f"/credit {alice} 1")
    cards = [
        await telegram.wait_for_message(admin, lambda message: bool(message.buttons)) for admin in admins
    ]
    await all_settled(stack, telegram)
    with holding_relay(redis_server.port) as (port, hold):
        address = urlsplit(redis_url)._replace(netloc=f"{redis_server.login}@127.0.0.1:{port}")
        behind = replace(stack.program("frontend"), env={"REDIS_URL": address.geturl()})
        for number, wanted in enumerate(GAPS.values()):
            stack.kill("frontend")
            for card in cards[number * BATCH : (number + 1) * BATCH]:
                await telegram.press_button(card.chat_id, card, "Confirm")
            hold.stop_at(wanted)
            stack.run("frontend", behind)  # its first poll hands it all of them
            assert await asyncio.to_thread(hold.reached.wait, HOLD_SECONDS_MAX)
        stack.kill("frontend")
    stack.start("frontend")
    await all_settled(stack, telegram)
    assert balances(stack)[alice] == sent * 100
    assert transfers(stack, "credit") == sent
    assert sum("You were credited" in text for text in await answers(telegram, alice)) == sent
    for admin in admins:
        assert sum("Credited 1.00" in text for text in await answers(telegram, admin)) == 1
    assert_audit_passes(stack)
