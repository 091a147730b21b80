"""A canary by rule, and two texts: nobody else follows before the first are done, whatever dies meanwhile."""

from __future__ import annotations

import asyncio

from ballast.broadcasts.audience import A, B, variant_of
from ballast.builtin.broadcasts import PauseBroadcast, ResumeBroadcast, StartBroadcast
from ballast.builtin.composition import CanaryRule, Segment, Wording
from dbcore.broadcasts import broadcasts, deliveries
from dbcore.broadcasts.broadcasts import Broadcast, BroadcastStatus
from devstack.telegram.control import TelegramControl
from tests.harness.broadcasting import Broadcasting, assert_each_got_what_the_table_says, received


async def started(
    cluster: Broadcasting, telegram: TelegramControl, first_id: int, count: int, rule: CanaryRule, canary: int
) -> tuple[int, range]:
    people = cluster.register(first_id, len(await telegram.create_users(count, first_id=first_id)))
    segment = Segment(telegram_ids=tuple(people))
    job = StartBroadcast(text="Hello", segment=segment, canary=canary, canary_rule=rule)
    return await asyncio.to_thread(cluster.started, job), people


async def resumed_to_the_end(
    cluster: Broadcasting, telegram: TelegramControl, broadcast_id: int, people: range
) -> Broadcast:
    await asyncio.to_thread(cluster.ask, ResumeBroadcast(broadcast_id=broadcast_id))
    broadcast = await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.FINISHED)
    assert_each_got_what_the_table_says(
        broadcast, cluster.states(broadcast_id), await received(telegram, people), people
    )
    return broadcast


async def test_a_canary_that_waits_is_all_that_is_out_until_a_word(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    broadcast_id, people = await started(cluster, telegram, 70_000, 300, CanaryRule(), 70)
    halted = await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.HALTED)
    assert (halted.sent, halted.halted_reason) == (70, "canary: 70 out, 0 not delivered")
    assert len(await received(telegram, people)) == 70
    assert (await resumed_to_the_end(cluster, telegram, broadcast_id, people)).sent == 300


async def test_a_canary_goes_on_by_itself_where_few_failed_and_stops_where_many_did(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    for first_id in (71_000, 71_001, 71_002):
        await telegram.add_fault(
            "error", chat_id=first_id, error_code=400, description="Bad Request: VOICE_MESSAGES_FORBIDDEN"
        )
    rule = CanaryRule(percent=10, failures_max=10)
    broadcast_id, people = await started(cluster, telegram, 71_000, 200, rule, 20)
    halted = await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.HALTED)
    assert halted.halted_reason == "canary: 20 out, 3 not delivered"
    assert (await resumed_to_the_end(cluster, telegram, broadcast_id, people)).failed == 3
    few = CanaryRule(percent=10, failures_max=15)
    for first_id in (72_000, 72_001, 72_002):
        await telegram.add_fault(
            "error", chat_id=first_id, error_code=400, description="Bad Request: VOICE_MESSAGES_FORBIDDEN"
        )
    broadcast_id, people = await started(cluster, telegram, 72_000, 200, few, 20)
    finished = await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.FINISHED)
    assert (finished.sent, finished.failed, finished.run) == (197, 3, 1)


async def test_a_canary_outlives_the_death_of_its_workers_and_a_pause(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    await telegram.add_fault("latency", methods=["sendMessage"], seconds=0.2)
    broadcast_id, people = await started(cluster, telegram, 73_000, 400, CanaryRule(), 150)
    await asyncio.to_thread(cluster.wait_until_done, broadcast_id, 20)
    for victim in cluster.bulk:
        cluster.stack.kill(victim)
        cluster.start(victim)
    await asyncio.to_thread(cluster.wait_until_done, broadcast_id, 60)
    await asyncio.to_thread(cluster.ask, PauseBroadcast(broadcast_id=broadcast_id))
    await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.PAUSED)
    await asyncio.to_thread(cluster.ask, ResumeBroadcast(broadcast_id=broadcast_id))
    halted = await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.HALTED)
    assert halted.done == 150
    assert len(await received(telegram, people)) <= 150
    await resumed_to_the_end(cluster, telegram, broadcast_id, people)


async def test_each_text_goes_to_those_whom_it_is_counted_for(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    people = cluster.register(74_000, len(await telegram.create_users(60, first_id=74_000)))
    segment = Segment(telegram_ids=tuple(people))
    job = StartBroadcast(text="<b>First</b>", other=Wording(text="Second"), segment=segment)
    broadcast_id = await asyncio.to_thread(cluster.started, job)
    await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.FINISHED)
    page = deliveries.page(cluster.engine, broadcast_id, after_user_id=0, limit=100)
    expected = {each.telegram_id: variant_of(broadcast_id, each.user_id) for each in page}
    texts = {person: (await telegram.wait_for_message(person)).text for person in people}
    assert texts == {person: "First" if expected[person] == A else "Second" for person in people}
    counts = deliveries.count_variants(cluster.engine, broadcast_id)
    assert counts == {name: {"sent": list(expected.values()).count(name)} for name in (A, B)}
    assert broadcasts.require(cluster.engine, broadcast_id).sent == 60
