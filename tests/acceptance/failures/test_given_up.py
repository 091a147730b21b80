"""What cannot be done is kept for an operator, and holds up nothing else."""

from __future__ import annotations

import asyncio

from ballast.builtin.balances import ShowBalance
from ballast.inbox.limits import UNKNOWN_KIND_SECONDS
from ballast.queueing.envelope import Envelope
from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.harness.jobs import FAILED, accept, hurried, in_lane_of
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


async def test_a_kind_that_no_worker_knows_fails_with_a_grace_and_its_lane_goes_on(
    stack: Stack, telegram: TelegramControl
) -> None:
    """Of a queue that there is, and of one that there is not."""
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

    def letters() -> dict[str, str]:
        return dict(stack.query("SELECT kind, error FROM failed_operations WHERE kind IN %s", tuple(kinds)))

    records = [f"ballast:inbox:job:new-{person}" for person in people.values()]

    def noted() -> bool:
        return all(stack.redis.hexists(record, "unknown_since") for record in records)

    await hurried(stack, noted, "workers were handed them")
    assert letters() == {}
    for record in records:  # as if the time for other workers to come were over
        stack.redis.hincrby(record, "unknown_since", -1000 * UNKNOWN_KIND_SECONDS)
    await hurried(stack, lambda: len(letters()) == len(kinds), "they have failed")
    for person in people.values():
        await telegram.wait_for_message(person, lambda message: message.text.startswith(FAILED))
    await all_settled(stack, telegram)
    for person in people.values():
        assert sum("Your balance is" in text for text in await answers(telegram, person)) == 2
    for kind, error in letters().items():
        assert f"no worker knows the kind '{kind}'" in error
