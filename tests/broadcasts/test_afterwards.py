"""What is done with a broadcast that is over: its report, and taking it back."""

from __future__ import annotations

import asyncio

from ballast.builtin.broadcasts import CardButton, PressBroadcast, ReportBroadcast, StartBroadcast
from ballast.builtin.composition import Segment
from dbcore.broadcasts.broadcasts import BroadcastStatus
from devstack.stack import ADMIN_ID
from devstack.telegram.control import TelegramControl
from tests.harness.broadcasting import Broadcasting


async def sent_to(
    cluster: Broadcasting, telegram: TelegramControl, first_id: int, count: int
) -> tuple[int, range]:
    await telegram.send_text(ADMIN_ID, "/help")  # a bot writes first to nobody
    people = await telegram.create_users(count, first_id=first_id)
    cluster.register(people.start, count)
    job = StartBroadcast(text="Hello", segment=Segment(telegram_ids=tuple(people)))
    broadcast_id = await asyncio.to_thread(cluster.started, job)
    await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.FINISHED)
    await asyncio.to_thread(cluster.stack.wait_until, lambda: not cluster.jobs(), "no job is left")
    return broadcast_id, people


async def test_a_chat_that_gives_no_answer_keeps_nobody_else_from_being_deleted_and_is_tried_again(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    broadcast_id, people = await sent_to(cluster, telegram, 50_000, 12)
    await telegram.add_fault("unavailable", methods=["deleteMessages"], chat_id=people[0])
    await telegram.add_fault("hang", methods=["deleteMessages"], chat_id=people[1], seconds=60)
    # This one has no answer once: deleted twice is deleted once.
    await telegram.add_fault("reset", methods=["deleteMessages"], chat_id=people[2], when="after", count=1)
    order = PressBroadcast(broadcast_id=broadcast_id, telegram_id=ADMIN_ID, what=CardButton.ERASE_SURELY)

    async def ordered(said: str, after: int) -> int:
        cluster.ask(order)
        told = await telegram.wait_for_message(
            ADMIN_ID,
            lambda message: message.text.startswith(f"Broadcast {broadcast_id} is deleted {said}"),
            after=after,
            timeout_seconds=60,
        )
        return told.revision

    seen = await ordered("from 10 chats. In 2 it stays", 0)
    seen = await ordered("from 0 chats. In 2 it stays", seen)
    seen = await ordered("from 0 chats. In 2 it stays", seen)
    await telegram.clear_faults()
    await ordered("from 2 chats.", seen)
    assert not [each for each in await telegram.messages(from_bot=True) if each.chat_id in people]


async def test_a_report_of_which_nobody_knows_whether_it_arrived_is_told_of(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    broadcast_id, _ = await sent_to(cluster, telegram, 51_000, 3)
    job = ReportBroadcast(broadcast_id=broadcast_id, chat_id=ADMIN_ID)
    await telegram.add_fault("reset", methods=["sendDocument"], when="after", count=1)
    cluster.ask(job)
    told = await telegram.wait_for_message(
        ADMIN_ID, lambda message: f"report of broadcast {broadcast_id}" in message.text
    )
    assert "may not have arrived" in told.text
    await telegram.add_fault("bad_request", methods=["sendDocument"], count=1)
    cluster.ask(job)
    told = await telegram.wait_for_message(
        ADMIN_ID, lambda message: "does not take the report" in message.text, after=told.revision
    )
    cluster.ask(job)
    await telegram.wait_for_message(
        ADMIN_ID, lambda message: message.text.endswith("all 3 recipients."), after=told.revision
    )
