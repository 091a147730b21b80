"""A broadcast reaches each of its people once, whatever becomes of each of them."""

from __future__ import annotations

import asyncio

from ballast.builtin.broadcasts import StartBroadcast
from ballast.builtin.composition import Segment
from dbcore.broadcasts.broadcasts import BroadcastStatus
from devstack.telegram.control import TelegramControl
from tests.harness.broadcasting import Broadcasting, assert_each_got_what_the_table_says, received


async def test_everybody_gets_one_final_state(cluster: Broadcasting, telegram: TelegramControl) -> None:
    people = await telegram.create_users(200, first_id=10_000)
    cluster.register(people.start, len(people))
    blocked, gone, no_chat, refusing, hanging, reached_and_hanging = (
        list(people[n : n + 5]) for n in range(50, 80, 5)
    )
    for person in blocked:
        await telegram.block(person)
    for person in gone:
        await telegram.change_user(person, deactivated=True)
    for person in refusing:
        await telegram.add_fault(
            "error", chat_id=person, error_code=400, description="Bad Request: VOICE_MESSAGES_FORBIDDEN"
        )
    for person in no_chat:
        await telegram.add_fault("chat_not_found", chat_id=person)
    for person in hanging:
        await telegram.add_fault("hang", chat_id=person, seconds=60)
    for person in reached_and_hanging:
        await telegram.add_fault("hang", chat_id=person, seconds=60, when="after")
    everyone = Segment(telegram_ids=tuple(people))
    broadcast_id = await asyncio.to_thread(
        cluster.started, StartBroadcast(text="<b>Hello</b>", segment=everyone)
    )
    broadcast = await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.FINISHED)
    states = cluster.states(broadcast_id)
    assert_each_got_what_the_table_says(broadcast, states, await received(telegram, people), people)
    assert {states[person] for person in (*blocked, *gone)} == {"blocked"}
    assert {states[person] for person in (*no_chat, *refusing)} == {"failed"}
    assert {states[person] for person in (*hanging, *reached_and_hanging)} == {"unknown"}
    assert broadcast.sent == 170
