"""What cannot be done is kept for an operator, and holds up nothing else."""

from __future__ import annotations

import asyncio

from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.harness.people import all_settled, answers, register, say
from workers.replies import UNCERTAIN_SENDS_MAX


async def test_a_malformed_update_is_kept_for_an_operator_and_does_not_stop_the_rest(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    await telegram.inject({"message": {"text": "no chat, no date", "from": {"id": "x"}}})
    assert "Your balance" in (await say(telegram, alice, "/balance")).text
    await all_settled(stack, telegram)
    ((error,),) = stack.query("SELECT error FROM failed_operations WHERE kind = 'users.quarantine'")
    assert "message." in error


async def test_an_answer_that_may_have_arrived_is_not_repeated_for_ever(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    await telegram.add_fault("reset", when="after", methods=["sendMessage"], chat_id=alice)
    await telegram.send_text(alice, "/balance")
    settling = asyncio.create_task(all_settled(stack, telegram))
    while not settling.done():
        for waiting in stack.redis.zrange("ballast:inbox:due", 0, -1):  # 2, 8 and 32 s, made short
            stack.redis.zadd("ballast:inbox:due", {bytes(waiting): 0}, xx=True)  # type: ignore[arg-type]  # not decoded
        await asyncio.sleep(0.2)
    await settling
    assert (
        sum("Your balance is" in text for text in await answers(telegram, alice)) == 1 + UNCERTAIN_SENDS_MAX
    )
    kept = "SELECT count(*) FROM failed_operations WHERE error LIKE '%may not have arrived%'"
    assert stack.query(kept) == [(1,)]
