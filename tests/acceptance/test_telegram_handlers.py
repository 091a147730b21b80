"""Handlers written for python-telegram-bot, added as they are, with the real processes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from ballast.inbox import Publisher
from ballast.queueing import outbox_relay
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.images import png
from tests.acceptance.conftest import MakeStack
from tests.harness.people import all_settled, answers, assert_audit_passes, balances, pause, resume, say


async def react(telegram: TelegramControl, person: int, emoji: str) -> int:
    """As Telegram sends it of a private chat, to a bot that asked for it."""
    reaction = {
        "chat": {"id": person, "type": "private", "first_name": "Ann"},
        "message_id": 1,
        "user": {"id": person, "is_bot": False, "first_name": "Ann"},
        "date": 1_700_000_000,
        "old_reaction": [],
        "new_reaction": [{"type": "emoji", "emoji": emoji}],
    }
    return await telegram.inject({"message_reaction": reaction})


def message_in(chat_id: int, person: int, message_id: int = 1) -> dict[str, Any]:
    return {
        "message_id": message_id,
        "date": 1_700_000_000,
        "chat": {"id": chat_id, "type": "private" if chat_id > 0 else "group"},
        "from": {"id": person, "is_bot": False, "first_name": "Ann"},
    }


async def be_in_the_group_at(telegram: TelegramControl, person: int, latitude: float, group: int) -> str:
    """What the bot answers there. As it comes to a bot that sees all that is written."""
    there = await telegram.send_text(person, "Here:", chat_id=group)
    message = message_in(group, person, there.message.message_id)
    await telegram.inject({"message": {**message, "location": {"latitude": latitude, "longitude": 2.0}}})
    return (await telegram.wait_for_message(group, after=there.message.revision)).text


def waiting_by_its_earlier_name(stack: Stack, person: int) -> None:
    """A receipt that the release before took."""
    photo = {"file_id": "1", "file_unique_id": "1", "width": 8, "height": 8}
    message = {**message_in(person, person), "photo": [photo], "caption": "earlier"}
    stack.query(
        "INSERT INTO outbox (kind, payload, telegram_id) VALUES ('old.update.bill', %s, %s) RETURNING id",
        json.dumps({"update": json.dumps({"update_id": 1, "message": message}), "telegram_id": person}),
        person,
    )


async def receipts_reactions_and_places(
    stack: Stack, telegram: TelegramControl, ann: int, group: int
) -> None:
    sent = await telegram.send_photo(ann, png(8, 8), "first")
    booked = "Booked first. You have 1.00 CREDIT."
    await telegram.wait_for_message(ann, lambda message: message.text == booked, timeout_seconds=60)
    assert sent.update_id is not None
    await telegram.redeliver(sent.update_id)
    reaction = await react(telegram, ann, "👍")
    await telegram.wait_for_message(ann, lambda message: message.text == "Ann gave ballast_local_bot 👍")
    await telegram.redeliver(reaction)
    assert await be_in_the_group_at(telegram, ann, 1.5, group) == "Ann is at 1.5."
    await all_settled(stack, telegram)
    await asyncio.to_thread(
        stack.wait_until, lambda: "signal 9 (SIGKILL)" in stack.log("main"), "it is known that a worker died"
    )
    assert balances(stack)[ann] == 100
    told = await answers(telegram, ann)
    assert (told.count(booked), sum("👍" in text for text in told)) == (1, 1)
    assert "Sorry, something went wrong on our side." in (await say(telegram, ann, "trip")).text
    (poll, *_) = await telegram.requests(method="getUpdates", limit=1)
    assert "message_reaction" in poll.params["allowed_updates"]


async def test_handlers_run_as_they_are_through_an_outage_and_beside_ballasts_own_commands(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack(BALLAST_APPS="tests.acceptance.other_names:app,tests.acceptance.old_bot:app")
    stack.query("CREATE TABLE old_counts (n int); SELECT 1")
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    ann = (await telegram.create_user("Ann")).id
    boris = (await telegram.create_user("Boris")).id
    assert (await say(telegram, ann, "/start")).text == "Hello, Ann."
    await all_settled(stack, telegram)
    assert balances(stack) == {ann: 0}, "who says /start has an account, whoever answers it"

    # A command with arguments, its button, a photo, a built-in command that is replaced.
    card = await say(telegram, ann, "/shop a lamp")
    assert card.text == "You want a lamp."
    press = await telegram.press_button(ann, card, "Lamp")
    query = await telegram.callback_query(press.callback_query_id, wait_seconds=30)
    assert query.answer is not None
    assert query.answer["text"] == "Bought"
    await telegram.wait_for_message(ann, lambda message: message.text == "You bought lamp.")
    sent = await telegram.send_photo(ann, png(8, 8))
    await telegram.wait_for_message(
        ann, lambda message: message.text == "A fine photo.", after=sent.message.revision
    )
    assert (await say(telegram, ann, "/help")).text == "Ask at the counter."
    menu = {entry["command"]: entry["description"] for entry in await telegram.menu(ann)}
    assert menu["shop"] == "What we have"
    assert "help" not in menu

    # In a group too, where each hears its own name alone.
    group = (await telegram.create_group("Friends", [ann, boris])).id
    await telegram.send_text(boris, "/shop@another_bot x", chat_id=group)
    await telegram.send_text(boris, "/shop@ballast_local_bot y", chat_id=group)
    assert (await telegram.wait_for_message(group)).text == "You want y."

    # The session dies between two transactions: the handler is run again from its beginning, and answers once.
    assert (await say(telegram, ann, "/count")).text == "Counted 2."
    # What moved to exactly once does it once, though the update comes again.
    sent = await telegram.send_text(boris, "/bonus")
    assert sent.update_id is not None
    await telegram.wait_for_message(boris, lambda message: message.text == "You have 5.00 CREDIT.")
    await telegram.redeliver(sent.update_id)
    await all_settled(stack, telegram)
    assert balances(stack)[boris] == 500

    # Who raises has failed, with a reference; the bot goes on.
    for command in ("/remember", "/remind"):
        assert "Sorry, something went wrong on our side." in (await say(telegram, ann, command)).text
    (remembered,), (reminded,) = stack.query("SELECT error FROM failed_operations ORDER BY id")
    assert "context.user_data is the memory of one process" in remembered
    assert "context.ballast.enqueue(job, after=seconds)" in reminded

    # Functions take updates exactly once. The worker that books the first receipt dies after its commit.
    await receipts_reactions_and_places(stack, telegram, ann, group)

    # Built-in commands by other names, and one that is switched off, which a handler has instead.
    assert (await say(telegram, ann, "/history")).text == "Once upon a time."
    assert {"pay"} == {"pay", "send", "history"} & menu.keys()
    admins = {entry["command"]: entry["description"] for entry in await telegram.menu(ADMIN_ID)}
    assert admins["topup"] == "Top up an account: /topup @name 5.50"
    assert not {"credit", "debit"} & admins.keys()
    card = await say(telegram, boris, f"/pay {ann} 1.50")
    await telegram.press_button(boris, card, "Confirm")
    await telegram.wait_for_message(ann, lambda message: "sent you" in message.text)
    await all_settled(stack, telegram)
    assert balances(stack) == {ann: 250, boris: 350}

    # While the database is unavailable it waits, and says so.
    await pause(stack)
    assert "Your message is saved" in (await say(telegram, ann, "/count")).text
    sent = await telegram.send_photo(boris, png(8, 8))
    needs_none = await telegram.wait_for_message(boris, after=sent.message.revision)
    assert needs_none.text == "A fine photo."
    sent = await telegram.send_photo(ann, png(8, 8), "second")
    assert "Your message is saved" in (await telegram.wait_for_message(ann, after=sent.message.revision)).text
    await react(telegram, ann, "🔥")
    await telegram.wait_for_message(ann, lambda message: message.text == "Ann gave ballast_local_bot 🔥")
    assert await be_in_the_group_at(telegram, ann, 2.5, group) == "We come later."
    waiting_by_its_earlier_name(stack, boris)
    await resume(stack)
    await telegram.wait_for_message(
        ann, lambda message: message.text == "Booked second. You have 3.50 CREDIT."
    )
    await telegram.wait_for_message(ann, lambda message: message.text == "Counted 3.")
    await all_settled(stack, telegram)
    assert not any("saved" in text for text in await answers(telegram, ann))
    # The outage may have been too short for anybody to see. The job would then wait for the next probe.
    outbox_relay.ask_after_commit(stack.redis, Publisher(stack.redis))
    await asyncio.to_thread(stack.wait_until, lambda: balances(stack)[boris] == 450, "by its earlier name")
    assert ADMIN_ID not in balances(stack)
    assert_audit_passes(stack)
