"""What operators ask for happens, and what cannot be is refused with a sentence."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ballast.broadcasts.lanes import Lanes
from ballast.broadcasts.service import BroadcastService
from ballast.builtin.broadcasts import (
    CancelBroadcast,
    ChangeDraft,
    PauseBroadcast,
    ResendUnknown,
    ResumeBroadcast,
    SendChunk,
    StartBroadcast,
)
from ballast.builtin.composition import QuietHours, Segment
from ballast.jobs import JobInvalid
from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import BroadcastRefused, BroadcastStatus
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import ApiRequest
from devstack.telegram.images import png
from tests.harness.broadcasting import Broadcasting, assert_each_got_what_the_table_says, received
from tests.harness.queueing import queueing_at

UNDER_WAY_SECONDS = 1.5
"""How long a send that was begun before everybody heard of a 429 may take to arrive at Telegram."""


async def people_of(cluster: Broadcasting, telegram: TelegramControl, first_id: int, count: int) -> range:
    people = await telegram.create_users(count, first_id=first_id)
    return cluster.register(people.start, len(people))


def to(people: range, **options: Any) -> StartBroadcast:
    return StartBroadcast(text="Hello", segment=Segment(telegram_ids=tuple(people)), **options)


async def all_sends(telegram: TelegramControl, people: range) -> list[ApiRequest]:
    """Telegram's record of what was sent to them, whatever it answered."""
    found: list[ApiRequest] = []
    after = 0
    while requests := await telegram.requests(method="sendMessage", after=after, limit=1000):
        found += [request for request in requests if request.chat_id in people]
        after = requests[-1].id
    return found


async def assert_refused(cluster: Broadcasting, job_id: str, why: str) -> None:
    """The job ends as a dead letter that says why."""
    found: list[tuple[str]] = []

    def there() -> bool:
        found[:] = cluster.stack.query("SELECT error FROM failed_operations WHERE job_id = %s", job_id)
        return bool(found)

    await asyncio.to_thread(cluster.stack.wait_until, there, "the refusal is a dead letter")
    assert found == [(why,)]


async def test_paused_nothing_is_sent_and_resumed_the_rest_is_and_cancelled_never(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    people = await people_of(cluster, telegram, 20_000, 700)
    broadcast_id = await asyncio.to_thread(cluster.started, to(people))
    await asyncio.to_thread(cluster.wait_until_done, broadcast_id, 30)
    cluster.ask(PauseBroadcast(broadcast_id=broadcast_id))
    await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.PAUSED)
    await asyncio.to_thread(cluster.stack.wait_until, lambda: not cluster.jobs(), "no job is left")
    paused = broadcasts.require(cluster.engine, broadcast_id)
    assert 30 <= paused.done < 700
    assert sum((await received(telegram, people)).values()) == paused.sent
    cluster.ask(ResumeBroadcast(broadcast_id=broadcast_id))
    await asyncio.to_thread(cluster.wait_until_done, broadcast_id, paused.done + 30)
    cluster.ask(CancelBroadcast(broadcast_id=broadcast_id))
    cancelled = await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.CANCELLED)
    await asyncio.to_thread(cluster.stack.wait_until, lambda: not cluster.jobs(), "no job is left")
    cancelled = broadcasts.require(cluster.engine, broadcast_id)
    assert cancelled.done < 700
    got = await received(telegram, people)
    assert sum(got.values()) == cancelled.sent
    assert set(got.values()) == {1}
    resumed = cluster.ask(ResumeBroadcast(broadcast_id=broadcast_id))
    await assert_refused(
        cluster, resumed, f"Discard: broadcast {broadcast_id} is cancelled: resume does nothing to it"
    )


async def test_a_bad_payload_halts_after_the_canary_and_marks_nobody(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    people = await people_of(cluster, telegram, 21_000, 60)
    await telegram.add_fault("bad_request", methods=["sendMessage"])
    job = to(people, canary=5)
    broadcast_id = await asyncio.to_thread(cluster.started, job)
    broadcast = await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.HALTED)
    await asyncio.to_thread(cluster.stack.wait_until, lambda: not cluster.jobs(), "no job is left")
    assert "wrong payload" in (broadcast.halted_reason or "").lower()
    assert 1 <= broadcast.failed <= 5
    assert not await received(telegram, people)
    marked = cluster.stack.query(
        "SELECT count(*) FROM users WHERE telegram_id BETWEEN %s AND %s AND (status, strikes) <> ('active', 0)",
        people.start,
        people.stop - 1,
    )
    assert marked == [(0,)]


async def test_a_scheduled_one_starts_at_its_time_and_not_in_its_quiet_hours(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    people = await people_of(cluster, telegram, 22_000, 10)
    soon = datetime.now(UTC) + timedelta(seconds=4)
    broadcast_id = await asyncio.to_thread(cluster.started, to(people, scheduled_for=soon))
    assert broadcasts.require(cluster.engine, broadcast_id).status is BroadcastStatus.SCHEDULED
    broadcast = await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.FINISHED)
    assert broadcast.started_at is not None
    assert broadcast.started_at >= soon
    assert broadcast.sent == 10

    now = datetime.now(UTC)
    quiet = QuietHours(begin=f"{now:%H:%M}", end=f"{now + timedelta(hours=2):%H:%M}")
    broadcast_id = await asyncio.to_thread(cluster.started, to(people, quiet_hours=quiet))
    await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.SENDING)
    await asyncio.to_thread(cluster.stack.wait_until, lambda: not cluster.jobs(), "it rests")
    resting = broadcasts.require(cluster.engine, broadcast_id)
    assert (resting.status, resting.done) == (BroadcastStatus.SENDING, 0)
    due = cluster.stack.redis.zscore("ballast:broadcasts:due", str(broadcast_id))
    assert due is not None
    assert timedelta(0) < datetime.fromtimestamp(due, UTC) - now <= timedelta(hours=2)
    # The hours are over: what beat does at their end.
    cluster.stack.query("UPDATE broadcasts SET quiet_hours = NULL WHERE id = %s RETURNING 1", broadcast_id)
    cluster.stack.redis.zadd("ballast:broadcasts:due", {str(broadcast_id): 0})
    assert (await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.FINISHED)).sent == 10


async def test_a_paid_one_that_costs_too_much_is_refused_with_its_cost(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    people = await people_of(cluster, telegram, 23_000, 100)
    refused = cluster.ask(to(people, paid=True, stars_max=9))
    await assert_refused(cluster, refused, "Discard: 100 messages may cost 10 Stars, and stars_max is 9")
    broadcast_id = await asyncio.to_thread(cluster.started, to(people, paid=True, stars_max=10))
    assert (await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.FINISHED)).sent == 100
    requests = await telegram.requests(method="sendMessage", chat_id=people.start)
    assert [request.params["allow_paid_broadcast"] for request in requests] == ["true"]


def test_what_was_refused_once_is_refused_when_it_comes_again(cluster: Broadcasting) -> None:
    cluster.register(23_500, 40)
    job = StartBroadcast(
        text="too dear", segment=Segment(telegram_ids=tuple(range(23_500, 23_540))), paid=True, stars_max=1
    )
    with queueing_at(cluster.servers.redis.url) as queueing:
        orders = BroadcastService(cluster.engine, Lanes(queueing.client, queueing.inbox, queueing.publisher))
        for why in ("may cost 4 Stars", "was refused or cancelled before it began"):
            with pytest.raises(BroadcastRefused, match=why):
                orders.start(job, "too dear")


async def test_a_photo_a_video_and_a_document_can_be_copied(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    people = await people_of(cluster, telegram, 24_000, 3)
    originals = [
        await telegram.send_photo(1001, png(3, 4), "look"),
        await telegram.send_video(1001, b"moving", "trip.mp4", "look"),
        await telegram.send_document(1001, b"a,b\n", "news.csv", "look"),
    ]
    for original in originals:
        copy = {"chat_id": 1001, "message_ids": [original.message.message_id]}
        fields = {"copy": copy, "segment": {"telegram_ids": list(people)}}
        broadcast_id = await asyncio.to_thread(cluster.started, StartBroadcast.decode(fields))
        assert (await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.FINISHED)).sent == 3
    for person in people:
        photo, video, document = await telegram.messages(person, from_bot=True)
        assert {photo.text, video.text, document.text} == {"look"}
        assert (photo.message["photo"][0]["width"], photo.message["photo"][0]["height"]) == (3, 4)
        assert video.message["video"]["file_name"] == "trip.mp4"
        assert document.message["document"]["file_name"] == "news.csv"


async def test_an_album_keeps_the_pace_of_all_its_messages(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    people = await people_of(cluster, telegram, 28_000, 30)
    pieces = await telegram.send_album(1001, [png(3, 3)] * 5)
    copy = {"chat_id": 1001, "message_ids": [piece.message.message_id for piece in pieces]}
    fields = {"copy": copy, "segment": {"telegram_ids": list(people)}}
    await telegram.set_limits(enabled=True)
    broadcast_id = await asyncio.to_thread(cluster.started, StartBroadcast.decode(fields))
    assert (await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.FINISHED)).sent == 30
    counts = await telegram.request_counts()
    assert [row["error_code"] for row in counts if row["method"] == "copyMessages"] == [None]
    assert len(await telegram.messages(people.start, from_bot=True)) == 5


async def test_an_album_is_not_paid_for(cluster: Broadcasting, telegram: TelegramControl) -> None:
    copy = {"chat_id": 1001, "message_ids": [1, 2]}
    with pytest.raises(JobInvalid, match="no Stars for an album"):
        StartBroadcast.decode({"copy": copy, "paid": True})
    made = broadcasts.create(
        cluster.engine, key="album", payload={"copy": copy}, segment={}, actor="test", draft=True
    )
    asked = cluster.ask(ChangeDraft(broadcast_id=made.id, telegram_id=1001, stars_max=5))
    await asyncio.to_thread(cluster.stack.wait_until, lambda: asked not in cluster.jobs(), "it is answered")
    assert not broadcasts.require(cluster.engine, made.id).paid
    broadcasts.change_draft(cluster.engine, made.id, paid=True)  # as a release before let it be
    begun = cluster.ask(StartBroadcast(broadcast_id=made.id))
    await assert_refused(
        cluster,
        begun,
        "Discard: an album cannot be paid for: Telegram takes Stars for single messages only; "
        "send it free, or one piece of it",
    )


async def test_the_unknown_get_it_again_by_an_operators_word_alone(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    people = await people_of(cluster, telegram, 25_000, 10)
    for person in people[:3]:
        await telegram.add_fault("reset", chat_id=person, when="after")
    broadcast_id = await asyncio.to_thread(cluster.started, to(people))
    broadcast = await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.FINISHED)
    assert (broadcast.sent, broadcast.unknown) == (7, 3)
    assert_each_got_what_the_table_says(
        broadcast, cluster.states(broadcast_id), await received(telegram, people), people
    )
    await telegram.clear_faults()
    cluster.ask(ResendUnknown(broadcast_id=broadcast_id))
    await asyncio.to_thread(
        cluster.stack.wait_until,
        lambda: broadcasts.require(cluster.engine, broadcast_id).sent == 10,
        "all have it",
    )
    assert sorted((await received(telegram, people)).values()) == [1] * 7 + [2] * 3


async def test_429s_of_several_chats_make_everybody_wait_and_nobody_is_lost_or_marked(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    people = await people_of(cluster, telegram, 26_000, 60)
    await telegram.add_fault("flood", methods=["sendMessage"], skip=25, count=4, retry_after=4)
    broadcast_id = await asyncio.to_thread(cluster.started, to(people))
    broadcast = await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.FINISHED)
    assert (broadcast.sent, broadcast.done) == (60, 60)
    asked = await all_sends(telegram, people)
    refused = min(request.finished_at for request in asked if request.error_code == 429)
    # What was on its way when the first was refused arrives still.
    halt = (refused + UNDER_WAY_SECONDS, refused + 4)
    assert [request for request in asked if halt[0] < request.started_at < halt[1]] == []
    assert_each_got_what_the_table_says(
        broadcast, cluster.states(broadcast_id), await received(telegram, people), people
    )


async def test_an_operators_chunk_by_hand_sends_a_few_and_has_no_follower(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    people = await people_of(cluster, telegram, 27_000, 60)
    broadcast_id = await asyncio.to_thread(cluster.started, to(people))
    cluster.ask(PauseBroadcast(broadcast_id=broadcast_id))
    await asyncio.to_thread(cluster.stack.wait_until, lambda: not cluster.jobs(), "no job is left")
    an_hour = datetime.now(UTC) + timedelta(hours=1)  # until then nobody looks at it
    cluster.stack.redis.zadd("ballast:broadcasts:due", {str(broadcast_id): an_hour.timestamp()})
    cluster.stack.query("UPDATE broadcasts SET status = 'sending' WHERE id = %s RETURNING 1", broadcast_id)
    before = broadcasts.require(cluster.engine, broadcast_id).done
    cluster.ask(SendChunk(broadcast_id=broadcast_id))
    await asyncio.to_thread(cluster.stack.wait_until, lambda: not cluster.jobs(), "no job is left")
    after = broadcasts.require(cluster.engine, broadcast_id).done
    assert 0 < after - before <= 20
    cluster.ask(CancelBroadcast(broadcast_id=broadcast_id))
    await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.CANCELLED)
