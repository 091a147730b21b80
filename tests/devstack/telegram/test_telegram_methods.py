"""The methods, as python-telegram-bot calls them."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from telegram import (
    Bot,
    BotCommand,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    MessageEntity,
    ReplyParameters,
)
from telegram.error import BadRequest

from devstack.telegram.control import TelegramControl
from devstack.telegram.demo import BOB_ID, CAROL_ID
from devstack.telegram.images import png
from devstack.telegram.process import TelegramProcess
from tests.devstack.telegram.conftest import method_url

KEYBOARD = InlineKeyboardMarkup([[InlineKeyboardButton("Confirm", callback_data="confirm:1")]])


async def test_get_me_names_the_bot_of_the_token(bot: Bot) -> None:
    me = await bot.get_me()
    assert (me.id, me.is_bot, me.username) == (123456, True, "ballast_local_bot")


async def test_a_message_is_shown_to_its_recipient_with_entities_and_buttons(
    bot: Bot, control: TelegramControl
) -> None:
    await control.send_text(BOB_ID, "/start")
    sent = await bot.send_message(
        BOB_ID,
        "<b>5.50</b> to &lt;Carol&gt; /help",
        parse_mode="HTML",
        reply_markup=KEYBOARD,
        disable_notification=True,
        link_preview_options=LinkPreviewOptions(is_disabled=True),
        allow_paid_broadcast=True,
    )
    assert sent.text == "5.50 to <Carol> /help"
    assert [(entity.type, entity.offset, entity.length) for entity in sent.entities] == [
        (MessageEntity.BOLD, 0, 4),
        (MessageEntity.BOT_COMMAND, 16, 5),
    ]
    seen = await control.wait_for_message(BOB_ID)
    assert (seen.text, seen.buttons, seen.silent) == (sent.text, [("Confirm", "confirm:1")], True)


async def test_a_topic_is_written_to_by_its_id_or_by_a_reply_and_general_by_neither(
    bot: Bot, control: TelegramControl
) -> None:
    group = (await control.create_group("Team", [BOB_ID], supergroup=True)).id
    with pytest.raises(BadRequest, match="Message thread not found"):
        await bot.send_message(group, "no forum yet", message_thread_id=7)
    topic = await control.create_topic(group, BOB_ID, "Bills")
    asked = (await control.send_text(BOB_ID, "/x", chat_id=group, thread_id=topic)).message
    # As Telegram has it: what answers nothing comes as an answer to the topic's first message.
    assert asked.message["reply_to_message"]["message_id"] == topic
    assert asked.message["chat"]["is_forum"]
    by_id = await bot.send_message(group, "1", message_thread_id=topic)
    by_reply = await bot.send_message(group, "2", reply_parameters=ReplyParameters(asked.message_id))
    general = await bot.send_message(group, "3")
    assert [sent.message_thread_id for sent in (by_id, by_reply, general)] == [topic, topic, None]
    assert [bool(sent.is_topic_message) for sent in (by_id, by_reply, general)] == [True, True, False]
    for missing in (1, 999):
        with pytest.raises(BadRequest, match="Message thread not found"):
            await bot.send_message(group, "?", message_thread_id=missing)


async def test_a_closed_topic_takes_nothing_of_the_bot(bot: Bot, control: TelegramControl) -> None:
    group = (await control.create_group("Team", [BOB_ID], supergroup=True)).id
    topic = await control.create_topic(group, BOB_ID, "Bills")
    await control.close_topic(group, topic)
    with pytest.raises(BadRequest, match="Topic_closed"):
        await bot.send_message(group, "?", message_thread_id=topic)
    await bot.send_message(group, "General is open")
    await control.close_topic(group, 1)
    with pytest.raises(BadRequest, match="Topic_closed"):
        await bot.send_message(group, "?")
    await control.close_topic(group, topic, closed=False)
    await bot.send_message(group, "open again", message_thread_id=topic)


async def test_a_private_chat_has_topics_too(bot: Bot, control: TelegramControl) -> None:
    await control.send_text(BOB_ID, "/start")
    topic = await control.create_topic(BOB_ID, BOB_ID, "Notes")
    sent = await bot.send_message(BOB_ID, "here", message_thread_id=topic)
    assert (sent.message_thread_id, sent.is_topic_message) == (topic, True)


async def test_a_reply_carries_the_message_it_answers(bot: Bot, control: TelegramControl) -> None:
    asked = (await control.send_text(BOB_ID, "how much?")).message
    sent = await bot.send_message(BOB_ID, "3", reply_parameters=ReplyParameters(asked.message_id))
    assert sent.reply_to_message is not None
    assert sent.reply_to_message.text == "how much?"
    lenient = ReplyParameters(999_999, allow_sending_without_reply=True)
    assert (await bot.send_message(BOB_ID, "4", reply_parameters=lenient)).reply_to_message is None


async def test_an_edit_changes_the_message_in_place_and_drops_buttons_not_given_again(
    bot: Bot, control: TelegramControl
) -> None:
    await control.send_text(BOB_ID, "/start")
    sent = await bot.send_message(BOB_ID, "Send?", reply_markup=KEYBOARD)
    edited = await sent.edit_text("Sent", reply_markup=None)
    assert not isinstance(edited, bool)
    assert (edited.message_id, edited.text, edited.reply_markup) == (sent.message_id, "Sent", None)
    assert edited.edit_date is not None
    marked = await bot.edit_message_reply_markup(BOB_ID, sent.message_id, reply_markup=KEYBOARD)
    assert not isinstance(marked, bool)
    assert marked.text == "Sent"
    assert marked.reply_markup == KEYBOARD


async def test_a_deleted_message_is_gone_from_the_chat(bot: Bot, control: TelegramControl) -> None:
    await control.send_text(BOB_ID, "/start")
    sent = await bot.send_message(BOB_ID, "soon gone")
    assert await sent.delete()
    assert [message.text for message in await control.messages(BOB_ID)] == ["/start"]
    [deleted] = await control.messages(BOB_ID, include_deleted=True, from_bot=True)
    assert deleted.deleted


async def test_a_press_is_answered_once_and_the_answer_reaches_the_user(
    bot: Bot, control: TelegramControl
) -> None:
    await control.send_text(BOB_ID, "/start")
    await bot.send_message(BOB_ID, "Send?", reply_markup=KEYBOARD)
    press = await control.press_button(BOB_ID, await control.wait_for_message(BOB_ID), "Confirm")
    update = (await bot.get_updates())[-1]
    assert update.callback_query is not None
    assert update.callback_query.data == "confirm:1"
    assert update.callback_query.message is not None
    await update.callback_query.answer("Done", show_alert=True)
    query = await control.callback_query(press.callback_query_id, wait_seconds=10)
    assert query.answer == {"text": "Done", "show_alert": True, "url": ""}


async def test_photos_and_documents_are_taken_as_uploads_and_by_their_id(
    bot: Bot, control: TelegramControl
) -> None:
    await control.send_text(BOB_ID, "/start")
    photo = await bot.send_photo(BOB_ID, png(7, 5), caption="<i>small</i>", parse_mode="HTML")
    assert (photo.photo[-1].width, photo.photo[-1].height, photo.caption) == (7, 5, "small")
    again = await bot.send_photo(BOB_ID, photo.photo[-1].file_id)
    assert again.photo[-1].file_unique_id == photo.photo[-1].file_unique_id
    report = await bot.send_document(BOB_ID, b"a,b\n1,2\n", filename="report.csv")
    assert report.document is not None
    assert (report.document.file_name, report.document.file_size) == ("report.csv", 8)


async def test_what_people_send_can_be_downloaded(bot: Bot, control: TelegramControl) -> None:
    bob = await control.create_user("Bob")
    await control.send_document(bob.id, b"a,b\n1,2\n", "list.csv")
    (update,) = await bot.get_updates(timeout=5)
    assert update.message is not None and update.message.document is not None
    file = await update.message.document.get_file()
    assert bytes(await file.download_as_bytearray()) == b"a,b\n1,2\n"
    with pytest.raises(BadRequest, match="Invalid file_id"):
        await bot.get_file("another")


async def test_people_send_where_they_are_and_their_number(bot: Bot, control: TelegramControl) -> None:
    bob = await control.create_user("Bob")
    await control.send_location(bob.id, 52.5, 13.4)
    await control.send_contact(bob.id, "+4930123456", "Bob", whose=bob.id)
    here, number = await bot.get_updates(timeout=5)
    assert here.message is not None and here.message.location is not None
    assert (here.message.location.latitude, here.message.location.longitude) == (52.5, 13.4)
    assert number.message is not None and number.message.contact is not None
    assert (number.message.contact.phone_number, number.message.contact.user_id) == ("+4930123456", bob.id)
    (there, shared) = await control.messages(bob.id)
    assert (there.text, shared.text) == ("", "")


async def test_any_message_can_be_copied(bot: Bot, control: TelegramControl) -> None:
    await control.send_text(CAROL_ID, "/start")
    original = (await control.send_photo(BOB_ID, png(3, 3), caption="look")).message
    copied = await bot.copy_message(CAROL_ID, BOB_ID, original.message_id)
    [seen] = await control.messages(CAROL_ID, from_bot=True)
    assert seen.message_id == copied.message_id
    assert seen.text == "look"
    assert "photo" in seen.message
    assert "forward_origin" not in seen.message


async def test_an_album_is_copied_as_one_and_what_is_missing_is_passed_over(
    bot: Bot, control: TelegramControl
) -> None:
    await control.send_text(CAROL_ID, "/start")
    album = await control.send_album(BOB_ID, [png(3, 3), png(4, 4)], caption="two")
    originals = [piece.message for piece in album]
    assert len({each.message["media_group_id"] for each in originals}) == 1
    update = (await bot.get_updates())[-1]
    assert update.message is not None
    assert update.message.media_group_id == originals[0].message["media_group_id"]
    ids = [originals[0].message_id, 999_999, originals[1].message_id]
    copies = await bot.copy_messages(CAROL_ID, BOB_ID, ids)
    seen = await control.messages(CAROL_ID, from_bot=True)
    assert [each.message_id for each in seen] == [copy.message_id for copy in copies]
    assert [each.text for each in seen] == ["two", ""]
    (name,) = {each.message["media_group_id"] for each in seen}
    assert name != originals[0].message["media_group_id"]
    with pytest.raises(BadRequest, match="no messages to copy"):
        await bot.copy_messages(CAROL_ID, BOB_ID, [999_999])


async def test_several_messages_are_deleted_at_once_and_what_is_missing_is_passed_over(
    bot: Bot, control: TelegramControl
) -> None:
    await control.send_text(BOB_ID, "/start")
    sent = [await bot.send_message(BOB_ID, str(number)) for number in range(3)]
    ids = [sent[0].message_id, 999_999, sent[2].message_id]
    assert await bot.delete_messages(BOB_ID, ids)
    assert [each.text for each in await control.messages(BOB_ID, from_bot=True)] == ["1"]
    await control.advance_clock(49 * 3600)
    assert await bot.delete_messages(BOB_ID, [sent[1].message_id])
    assert [each.text for each in await control.messages(BOB_ID, from_bot=True)] == ["1"]
    with pytest.raises(BadRequest, match="Too many"):
        await bot.delete_messages(BOB_ID, list(range(101)))


async def test_the_menu_of_the_narrowest_scope_is_shown(bot: Bot, control: TelegramControl) -> None:
    everyone = [BotCommand("start", "Begin")]
    await bot.set_my_commands(everyone)
    await bot.set_my_commands([BotCommand("credit", "Credit")], scope=BotCommandScopeChat(1001))
    await bot.set_my_commands(
        [BotCommand("start", "Los")], scope=BotCommandScopeAllPrivateChats(), language_code="de"
    )
    await control.change_user(CAROL_ID, language_code="de")
    assert list(await bot.get_my_commands()) == everyone
    assert await control.menu(1001) == [{"command": "credit", "description": "Credit"}]
    assert await control.menu(BOB_ID) == [{"command": "start", "description": "Begin"}]
    assert await control.menu(CAROL_ID) == [{"command": "start", "description": "Los"}]
    await bot.delete_my_commands(scope=BotCommandScopeChat(1001))
    assert await control.menu(1001) == [{"command": "start", "description": "Begin"}]


async def test_get_chat_tells_todays_name(bot: Bot, control: TelegramControl) -> None:
    await control.send_text(BOB_ID, "/start")
    await control.change_user(BOB_ID, first_name="Robert", username="rob")
    chat = await bot.get_chat(BOB_ID)
    assert (chat.type, chat.first_name, chat.username) == ("private", "Robert", "rob")
    assert await bot.send_chat_action(BOB_ID, "typing")


@pytest.mark.parametrize("how", ["query", "urlencoded", "json", "multipart"])
async def test_parameters_are_taken_in_every_documented_way(
    how: str, telegram_process: TelegramProcess, control: TelegramControl, http: aiohttp.ClientSession
) -> None:
    await control.send_text(BOB_ID, "/start")
    url = method_url(telegram_process, "sendmessage")  # method names are case-insensitive
    values = {"chat_id": str(BOB_ID), "text": how}
    form = aiohttp.FormData(values, default_to_multipart=True)
    requests: dict[str, dict[str, Any]] = {
        "query": {"method": "GET", "params": values},
        "urlencoded": {"method": "POST", "data": values},
        "json": {"method": "POST", "json": values},
        "multipart": {"method": "POST", "data": form},
    }
    async with http.request(url=url, **requests[how]) as response:
        answer = await response.json()
    assert answer["ok"]
    assert answer["result"]["text"] == how
