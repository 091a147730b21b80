"""An admin broadcasts from Telegram: drawn up, seen, confirmed, watched, and reported."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import aiohttp
import psutil

from devstack.stack import ADMIN_ID, TOKEN, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from devstack.telegram.images import png
from tests.harness.card_edits import assert_the_card_went_forwards
from tests.harness.people import all_settled, answers, assert_shown, register, say

CARD_SECONDS_MAX = 60.0


async def card(telegram: TelegramControl, *said: str, after: int = 0) -> SeenMessage:
    """The admin's card, once it says all of this."""
    return await telegram.wait_for_message(
        ADMIN_ID,
        lambda message: message.text.startswith("Broadcast ") and all(part in message.text for part in said),
        after=after,
        timeout_seconds=CARD_SECONDS_MAX,
    )


async def press(telegram: TelegramControl, shown: SeenMessage, button: str) -> None:
    await telegram.press_button(ADMIN_ID, shown, button)


async def crowd(stack: Stack, telegram: TelegramControl, count: int) -> range:
    """People whom the bot knows, and who were never seen to write."""
    people = await telegram.create_users(count)
    stack.query(
        "INSERT INTO users (telegram_id, first_name) SELECT n, 'P' FROM generate_series(%s, %s) AS n RETURNING 1",
        people.start,
        people.stop - 1,
    )
    return people


async def report(telegram: TelegramControl) -> list[dict[str, str]]:
    """The CSV that came to the admin, read."""
    message = await telegram.wait_for_message(
        ADMIN_ID, lambda message: "document" in message.message, timeout_seconds=CARD_SECONDS_MAX
    )
    file_id = message.message["document"]["file_id"]
    async with aiohttp.ClientSession() as http, http.get(f"{telegram.url}/control/files/{file_id}") as answer:
        return list(csv.DictReader(io.StringIO(await answer.text())))


def niceness(stack: Stack, name: str) -> set[int]:
    """Of the worker's processes, and of their session, among which Linux shares cores first."""
    children = psutil.Process(stack.pid(name)).children()
    groups = [Path(f"/proc/{child.pid}/autogroup") for child in children]
    return {child.nice() for child in children} | {
        int(group.read_text().split()[-1]) for group in groups if group.exists()
    }


async def test_an_admin_broadcasts_from_the_command_to_the_report(
    stack: Stack, telegram: TelegramControl
) -> None:
    assert min(niceness(stack, "bulk")) > max(niceness(stack, "main")), "answers come before broadcasts"
    (alice, boris, dora) = await register(telegram, "Alice", "Boris", "Dora")
    people = await crowd(stack, telegram, 90)
    assert "no longer get broadcasts" in (await say(telegram, boris, "/stop")).text
    await telegram.change_user(people[0], deactivated=True)
    asked = await telegram.send_text(ADMIN_ID, "/broadcast <b>News</b> for all")
    preview = await telegram.wait_for_message(ADMIN_ID, after=asked.message.revision)
    assert preview.text == "News for all"
    drawn_up = await card(telegram, "draft", "everybody", "That is 92 people", "free")
    # A stranger's press does nothing, and a confirmation of what was changed since neither.
    stale = next(data for label, data in drawn_up.buttons if label == "Confirm")
    assert stale is not None
    to_dora = replace(drawn_up, chat_id=dora)
    await assert_shown(telegram, dora, to_dora, stale, "Only admins can do that")
    await press(telegram, drawn_up, "To whom")
    chosen = await card(telegram, "draft", after=drawn_up.revision)
    await press(telegram, chosen, "Active")
    await telegram.wait_for_message(ADMIN_ID, lambda message: "how many days" in message.text)
    await telegram.send_text(ADMIN_ID, "30")
    narrowed = await card(telegram, "draft", "seen within 30 days", "That is 92 people")
    await assert_shown(telegram, ADMIN_ID, narrowed, stale, "changed after you were shown")
    narrowed = await card(telegram, "draft", after=narrowed.revision - 1)
    # Pressed three times it begins once.
    go = next(data for label, data in narrowed.buttons if label == "Confirm")
    assert go is not None
    await telegram.press(ADMIN_ID, narrowed.message_id, go, deliveries=3)
    done = await card(telegram, "finished", "92 of 92", "blocked 1 ")
    assert "sent 91 " in done.text
    await all_settled(stack, telegram)

    for person in (alice, dora, *people[1:]):
        assert (await answers(telegram, person)).count("News for all") == 1
    assert "News for all" not in await answers(telegram, boris)
    lines = {int(line["telegram_id"]): line for line in await report(telegram)}
    assert set(lines) == {alice, dora, *people}
    assert lines[alice]["status"] == "sent"
    assert lines[alice]["sent_at"].endswith("Z")
    assert (lines[people[0]]["status"], lines[people[0]]["sent_at"]) == ("blocked", "")
    assert "deactivated" in lines[people[0]]["error"]
    await assert_the_card_went_forwards(telegram, audience=92)


async def test_what_was_sent_of_the_last_broadcast_is_deleted_although_workers_die(
    stack: Stack, telegram: TelegramControl
) -> None:
    people = await crowd(stack, telegram, 150)
    await telegram.send_text(ADMIN_ID, "/help")
    pieces = await telegram.send_album(ADMIN_ID, [png(3, 3), png(4, 4)])
    asked = await telegram.send_text(ADMIN_ID, "/broadcast", reply_to_message_id=pieces[0].message.message_id)
    await press(telegram, await card(telegram, "draft", after=asked.message.revision), "Confirm")
    await card(telegram, "finished", "sent 150 ")
    await report(telegram)
    listed = await telegram.send_text(ADMIN_ID, "/broadcasts")
    shown = await telegram.wait_for_message(
        ADMIN_ID, lambda message: "Delete" in str(message.buttons), after=listed.message.revision
    )
    await press(telegram, shown, "Delete what was sent of")
    question = await card(telegram, "finished", after=shown.revision)
    await press(telegram, question, "Yes")
    await asyncio.to_thread(stack.wait_until, lambda: gone(stack) >= 20, "some are deleted")
    stack.kill("bulk")
    assert gone(stack) < 150
    stack.start("bulk")
    await telegram.wait_for_message(
        ADMIN_ID,
        lambda message: "deleted from 150 chats." in message.text,
        timeout_seconds=CARD_SECONDS_MAX,
    )
    assert not pairs(await telegram.messages(from_bot=True), people)
    await all_settled(stack, telegram)
    # In the books it stands as it was sent.
    assert stack.query(f"SELECT DISTINCT status {OF_THE_LAST}") == [("sent",)]


OF_THE_LAST = "FROM broadcast_deliveries WHERE broadcast_id = (SELECT max(id) FROM broadcasts)"


def gone(stack: Stack) -> int:
    """How many people have nothing of the last broadcast any more, by the table."""
    ((count,),) = stack.query(f"SELECT count(*) {OF_THE_LAST} AND message_id IS NULL")
    return int(count)


async def test_an_album_is_copied_and_stops_goes_on_and_is_cancelled_by_button(
    stack: Stack, telegram: TelegramControl
) -> None:
    people = await crowd(stack, telegram, 400)
    await telegram.send_text(ADMIN_ID, "/help")
    pieces = await telegram.send_album(ADMIN_ID, [png(3, 3), png(4, 4)], caption="The trip")
    asked = await telegram.send_text(ADMIN_ID, "/broadcast", reply_to_message_id=pieces[1].message.message_id)
    drawn_up = await card(telegram, "draft", after=asked.message.revision)
    previewed = await telegram.messages(ADMIN_ID, after=asked.message.revision, from_bot=True)
    assert [each.text for each in previewed if "media_group_id" in each.message] == ["The trip", ""]
    await press(telegram, drawn_up, "Confirm")
    sending = await card(telegram, "sending", "0 of 400")
    await press(telegram, sending, "Pause")
    paused = await card(telegram, "paused", after=sending.revision)
    await all_settled(stack, telegram)
    paused = (await telegram.messages(ADMIN_ID, from_bot=True, after=paused.revision - 1))[-1]
    assert "paused" in paused.text
    before = pairs(await telegram.messages(from_bot=True), people)
    await press(telegram, paused, "Resume")
    going_on = await card(telegram, "sending", "/s, ", after=paused.revision)
    await press(telegram, going_on, "Cancel")
    asked_again = await telegram.wait_for_message(
        ADMIN_ID, lambda message: "Yes" in str(message.buttons), after=going_on.revision
    )
    await press(telegram, asked_again, "Yes")
    await card(telegram, "cancelled", after=asked_again.revision)
    lines = await report(telegram)
    await all_settled(stack, telegram)
    after = pairs(await telegram.messages(from_bot=True), people)
    assert len(before) < len(after) < 400
    assert set(after.values()) == {2}
    assert {int(line["telegram_id"]) for line in lines} == set(people)
    assert {int(line["telegram_id"]) for line in lines if line["status"] == "sent"} == set(after)
    assert {line["status"] for line in lines} == {"sent", "pending"}


async def drawn_up_from(telegram: TelegramControl, message: dict[str, object]) -> SeenMessage:
    """The card of what an admin's message draws up; what Telegram brings of it is given as it is."""
    sender = {"id": ADMIN_ID, "is_bot": False, "first_name": "Admin"}
    chat = {"id": ADMIN_ID, "type": "private", "first_name": "Admin"}
    so_far = max((each.revision for each in await telegram.messages(ADMIN_ID)), default=0)
    about = {"message_id": 4_000_000, "date": int(time.time()), "from": sender, "chat": chat}
    await telegram.inject({"message": {**about, **message}})
    return await card(telegram, "draft", after=so_far)


async def test_what_is_sent_is_what_was_previewed_whatever_becomes_of_the_original(
    stack: Stack, telegram: TelegramControl
) -> None:
    people = await crowd(stack, telegram, 60)
    await telegram.send_text(ADMIN_ID, "/help")
    original = (await telegram.send_text(ADMIN_ID, "Coffee: 5.00")).message
    links = [[{"text": "Shop", "url": "https://e.org"}, {"text": "Vote", "callback_data": "x"}]]
    drawn_up = await drawn_up_from(
        telegram,
        {
            "text": "/broadcast",
            "reply_to_message": {**original.message, "reply_markup": {"inline_keyboard": links}},
        },
    )
    assert "They get a copy of the message above." in drawn_up.text
    assert "Its buttons are left out" in drawn_up.text
    await telegram.edit_text(ADMIN_ID, original.message_id, "ALL FREE")
    await press(telegram, drawn_up, "Confirm")
    await card(telegram, "finished", f"of {len(people)}", "sent ")
    got = [each for each in await telegram.messages(from_bot=True) if each.chat_id in people]
    assert {each.chat_id for each in got} == set(people)
    assert {each.text for each in got} == {"Coffee: 5.00"}
    assert {str(each.message["reply_markup"]["inline_keyboard"]) for each in got} == {
        str([[{"text": "Shop", "url": "https://e.org"}]])
    }
    await all_settled(stack, telegram)


async def test_what_an_admin_formatted_in_the_app_reaches_people_as_it_was(
    stack: Stack, telegram: TelegramControl
) -> None:
    people = await crowd(stack, telegram, 3)
    await telegram.send_text(ADMIN_ID, "/help")
    formatting = [
        {"type": "bot_command", "offset": 0, "length": 10},
        {"type": "bold", "offset": 11, "length": 4},
        {"type": "text_link", "offset": 16, "length": 5, "url": "https://e.org"},
    ]
    drawn_up = await drawn_up_from(
        telegram, {"text": "/broadcast Sale today & 1 < 2", "entities": formatting}
    )
    await press(telegram, drawn_up, "Confirm")
    await card(telegram, "finished", f"of {len(people)}")
    got = [each for each in await telegram.messages(from_bot=True) if each.chat_id in people]
    assert len(got) == 3
    for each in got:
        assert each.text == "Sale today & 1 < 2"
        assert each.message["entities"] == [
            {"type": "bold", "offset": 0, "length": 4},
            {"type": "text_link", "offset": 5, "length": 5, "url": "https://e.org"},
        ]
    await all_settled(stack, telegram)


async def test_a_preview_that_was_deleted_halts_the_broadcast_before_anybody_gets_anything(
    stack: Stack, telegram: TelegramControl
) -> None:
    people = await crowd(stack, telegram, 60)
    await telegram.send_text(ADMIN_ID, "/help")
    original = (await telegram.send_text(ADMIN_ID, "Coffee: 5.00")).message
    asked = await telegram.send_text(ADMIN_ID, "/broadcast", reply_to_message_id=original.message_id)
    drawn_up = await card(telegram, "draft", after=asked.message.revision)
    (preview,) = [
        each
        for each in await telegram.messages(ADMIN_ID, after=asked.message.revision, from_bot=True)
        if each.text == "Coffee: 5.00"
    ]
    async with aiohttp.ClientSession() as http:
        ids = {"chat_id": ADMIN_ID, "message_id": preview.message_id}
        await http.post(f"{telegram.url}/bot{TOKEN}/deleteMessage", json=ids)
    await press(telegram, drawn_up, "Confirm")
    await card(telegram, "halted", "the message that it copies was deleted", "sent 0")
    assert not [each for each in await telegram.messages(from_bot=True) if each.chat_id in people]
    await all_settled(stack, telegram)


async def test_a_draft_is_scheduled_priced_and_discarded_and_what_is_not_there_is_refused(
    stack: Stack, telegram: TelegramControl
) -> None:
    people = await crowd(stack, telegram, 40)
    await telegram.send_text(ADMIN_ID, "/broadcast <b>never closed")
    await telegram.wait_for_message(ADMIN_ID, lambda message: "refuses this message" in message.text)
    asked = await telegram.send_text(ADMIN_ID, "/broadcast later")
    shown = await card(telegram, "draft", after=asked.message.revision)

    async def answer(button: str, words: str, *said: str) -> SeenMessage:
        await press(telegram, shown, button)
        question = await telegram.wait_for_message(
            ADMIN_ID, lambda message: "/cancel" in message.text, after=shown.revision
        )
        written = await telegram.send_text(ADMIN_ID, words)
        return await card(telegram, "draft", *said, after=max(question.revision, written.message.revision))

    async def turned(button: str) -> SeenMessage:
        await press(telegram, shown, button)
        return await card(telegram, "draft", after=shown.revision)

    shown = await turned("To whom")
    shown = await answer("List of ids", f"{people[0]} 999999", "a list of 2", "That is 1 person now")
    further = await telegram.send_text(ADMIN_ID, f"{people[1]} {people[0]}")
    shown = await card(telegram, "draft", "a list of 3", "That is 2 people", after=further.message.revision)
    shown = await answer("Pay for speed", "1", "at most 1 Star (you allow 1)")
    shown = await turned("When")
    shown = await answer("At a time", "2999-12-01 18:00 Europe/Berlin", "When: 2999-12-01 17:00 UTC")
    shown = await turned("When")
    shown = await answer("Quiet hours", "22:00-08:00 Europe/Berlin", "Quiet: 22:00–08:00 Europe/Berlin")
    await press(telegram, shown, "Confirm")
    scheduled = await card(telegram, "scheduled", "begins 2999-12-01", after=shown.revision)
    listed = await say(telegram, ADMIN_ID, "/broadcasts")
    assert "scheduled" in listed.text
    assert "cancelled" in listed.text
    await press(telegram, scheduled, "Cancel")
    sure = await telegram.wait_for_message(
        ADMIN_ID, lambda message: "Yes" in str(message.buttons), after=scheduled.revision
    )
    await press(telegram, sure, "No")
    kept = await card(telegram, "scheduled", after=sure.revision)
    await assert_shown(telegram, ADMIN_ID, kept, "b:999:pause", "There is no broadcast 999")
    again = await telegram.send_text(ADMIN_ID, "/broadcast never")
    drawn_up = await card(telegram, "draft", after=again.message.revision)
    await press(telegram, drawn_up, "Discard")
    gone = await card(telegram, "cancelled", after=drawn_up.revision)
    assert gone.buttons == []
    await all_settled(stack, telegram)
    assert stack.query("SELECT status FROM broadcasts ORDER BY id DESC LIMIT 3") == [
        ("cancelled",),
        ("scheduled",),
        ("cancelled",),
    ]
    assert stack.query("SELECT count(*) FROM failed_operations") == [(0,)]


def pairs(messages: list[SeenMessage], people: range) -> Counter[int]:
    """How many pieces of the album each of these people has."""
    return Counter(each.chat_id for each in messages if each.chat_id in people)
