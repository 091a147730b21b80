"""What the Bot API refuses, in its own words."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from telegram import Bot
from telegram.error import BadRequest, ChatMigrated, Forbidden

from devstack.telegram.control import TelegramControl
from devstack.telegram.demo import BOB_ID, CAROL_ID
from devstack.telegram.process import TelegramProcess
from tests.devstack.telegram.conftest import method_url


def button(**fields: Any) -> dict[str, Any]:
    return {"inline_keyboard": [[fields]]}


@pytest.mark.parametrize(
    ("method", "parameters", "description"),
    [
        ("sendMessage", {"text": ""}, "Bad Request: message text is empty"),
        ("sendMessage", {"text": " \n "}, "Bad Request: message text is empty"),
        ("sendMessage", {"text": "<b></b>", "parse_mode": "HTML"}, "Bad Request: message text is empty"),
        ("sendMessage", {"text": "x" * 4097}, "Bad Request: message is too long"),
        ("sendMessage", {"text": "x", "chat_id": ""}, "Bad Request: chat_id is empty"),
        ("sendMessage", {"text": "x", "chat_id": 5}, "Bad Request: chat not found"),
        ("sendMessage", {"text": "x", "chat_id": "@bob"}, "Bad Request: chat not found"),
        ("sendMessage", {"text": "x", "parse_mode": "Odd"}, "Bad Request: unsupported parse_mode"),
        (
            "sendMessage",
            {"text": "<x>", "parse_mode": "HTML"},
            'Bad Request: can\'t parse entities: Unsupported start tag "x" at byte offset 0',
        ),
        (
            "sendMessage",
            {"text": "é <b>x", "parse_mode": "HTML"},
            "Bad Request: can't parse entities: Can't find end tag corresponding to start tag \"b\"",
        ),
        (
            "sendMessage",
            {"text": "<b>x</i>", "parse_mode": "HTML"},
            "Bad Request: can't parse entities: Unmatched end tag at byte offset 4,"
            ' expected "</b>", found "</i>"',
        ),
        (
            "sendMessage",
            {"text": "x", "reply_markup": button(text="A", callback_data="é" * 33)},
            "Bad Request: BUTTON_DATA_INVALID",
        ),
        (
            "sendMessage",
            {"text": "x", "reply_markup": button(text="A")},
            "Bad Request: can't parse inline keyboard button:"
            " Text buttons are unallowed in the inline keyboard",
        ),
        ("sendMessage", {"text": "x", "reply_markup": "[]"}, "Bad Request: object expected as reply markup"),
        (
            "sendMessage",
            {"text": "x", "reply_parameters": {"message_id": 99_999_999}},
            "Bad Request: message to be replied not found",
        ),
        (
            "editMessageText",
            {"text": "x", "message_id": 99_999_999},
            "Bad Request: message to edit not found",
        ),
        ("editMessageText", {"text": "x"}, "Bad Request: message identifier is not specified"),
        ("deleteMessage", {"message_id": 99_999_999}, "Bad Request: message to delete not found"),
        (
            "copyMessage",
            {"from_chat_id": BOB_ID, "message_id": 99_999_999},
            "Bad Request: message to copy not found",
        ),
        ("sendPhoto", {}, "Bad Request: there is no photo in the request"),
        ("sendDocument", {}, "Bad Request: there is no document in the request"),
        ("sendChatAction", {"action": "dancing"}, "Bad Request: wrong parameter action in request"),
        (
            "answerCallbackQuery",
            {"callback_query_id": "1"},
            "Bad Request: query is too old and response timeout expired or query ID is invalid",
        ),
        (
            "setMyCommands",
            {"commands": [{"command": "Not good", "description": "x"}]},
            "Bad Request: BOT_COMMAND_INVALID",
        ),
        (
            "setWebhook",
            {"url": "http://127.0.0.1:1/", "secret_token": "not good"},
            "Bad Request: secret token contains unallowed characters",
        ),
        (
            "setWebhook",
            {"url": "http://127.0.0.1:1/", "secret_token": "x" * 257},
            "Bad Request: secret token is too long",
        ),
    ],
)
async def test_a_wrong_request_is_refused_as_telegram_does(
    method: str,
    parameters: dict[str, Any],
    description: str,
    telegram_process: TelegramProcess,
    control: TelegramControl,
    http: aiohttp.ClientSession,
) -> None:
    await control.send_text(BOB_ID, "/start")
    body = {"chat_id": BOB_ID, **parameters}
    async with http.post(method_url(telegram_process, method), json=body) as response:
        assert response.status == 400
        assert await response.json() == {"ok": False, "error_code": 400, "description": description}
    [request] = await control.requests(method=method)
    assert (request.outcome, request.took_effect) == ("error", False)


@pytest.mark.parametrize("length", [64, 65])
async def test_callback_data_may_have_64_bytes_and_not_65(
    length: int, telegram_process: TelegramProcess, control: TelegramControl, http: aiohttp.ClientSession
) -> None:
    await control.send_text(BOB_ID, "/start")
    body = {"chat_id": BOB_ID, "text": "x", "reply_markup": button(text="A", callback_data="x" * length)}
    async with http.post(method_url(telegram_process, "sendMessage"), json=body) as response:
        assert response.status == (200 if length == 64 else 400)


@pytest.mark.parametrize("length", [4096, 4097])
async def test_a_text_may_have_4096_characters_and_not_4097(
    length: int, bot: Bot, control: TelegramControl
) -> None:
    await control.send_text(BOB_ID, "/start")
    if length == 4096:
        assert await bot.send_message(BOB_ID, "ё" * length)
    else:
        with pytest.raises(BadRequest, match="too long"):
            await bot.send_message(BOB_ID, "ё" * length)


async def test_a_wrong_token_and_an_unknown_method_are_told_apart(
    telegram_process: TelegramProcess, control: TelegramControl, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"{telegram_process.url}/bot123456:WRONG/getMe") as response:
        assert response.status == 401
        assert await response.json() == {"ok": False, "error_code": 401, "description": "Unauthorized"}
    async with http.get(method_url(telegram_process, "getNothing")) as response:
        assert response.status == 404
        assert await response.json() == {"ok": False, "error_code": 404, "description": "Not Found"}
    record = await control.requests()
    assert [(request.method, request.error_code) for request in record] == [
        ("getMe", 401),
        ("getNothing", 404),
    ]


@pytest.mark.parametrize("parameter", ["reply_markup", "entities", "reply_parameters"])
@pytest.mark.parametrize(
    "nonsense", ["{", "5", '"x"', "[5]", '[{"type": 1}]', '{"inline_keyboard": 5}', "[[]]"]
)
async def test_nonsense_is_the_callers_fault_and_never_the_servers(
    parameter: str,
    nonsense: str,
    telegram_process: TelegramProcess,
    control: TelegramControl,
    http: aiohttp.ClientSession,
) -> None:
    await control.send_text(BOB_ID, "/start")
    body = {"chat_id": str(BOB_ID), "text": "x", parameter: nonsense}
    async with http.post(method_url(telegram_process, "sendMessage"), data=body) as response:
        assert response.status in (200, 400)


async def test_an_edit_that_changes_nothing_says_so(bot: Bot, control: TelegramControl) -> None:
    await control.send_text(BOB_ID, "/start")
    sent = await bot.send_message(BOB_ID, "<b>same</b>", parse_mode="HTML")
    with pytest.raises(BadRequest, match=r"[Mm]essage is not modified: specified new message content"):
        await sent.edit_text("<b>same</b>", parse_mode="HTML")
    assert await sent.edit_text("same"), "the same words without the bold are another content"


async def test_a_users_message_cannot_be_edited_by_the_bot(bot: Bot, control: TelegramControl) -> None:
    message = (await control.send_text(BOB_ID, "mine")).message
    with pytest.raises(BadRequest, match="can't be edited"):
        await bot.edit_message_text("yours", BOB_ID, message.message_id)


async def test_a_press_is_answered_in_time_or_never(bot: Bot, control: TelegramControl) -> None:
    await control.send_text(BOB_ID, "/start")
    sent = await bot.send_message(BOB_ID, "?", reply_markup=button(text="A", callback_data="a"))  # type: ignore[arg-type]  # a plain dict is taken too
    [late] = await control.press(BOB_ID, sent.message_id, "a")
    await control.advance_clock(16)
    with pytest.raises(BadRequest, match=r"[Qq]uery is too old"):
        await bot.answer_callback_query(late.callback_query_id)
    [early] = await control.press(BOB_ID, sent.message_id, "a")
    assert await bot.answer_callback_query(early.callback_query_id)
    with pytest.raises(BadRequest, match=r"[Qq]uery is too old"):
        await bot.answer_callback_query(early.callback_query_id)


async def test_a_bot_cannot_write_first_nor_to_who_blocked_it_nor_to_the_gone(
    bot: Bot, control: TelegramControl
) -> None:
    with pytest.raises(Forbidden, match="can't initiate conversation with a user"):
        await bot.send_message(BOB_ID, "hello?")
    await control.send_text(BOB_ID, "/start")
    assert await bot.send_message(BOB_ID, "hello!")
    await control.block(BOB_ID)
    with pytest.raises(Forbidden, match="bot was blocked by the user"):
        await bot.send_message(BOB_ID, "hello?")
    await control.unblock(BOB_ID)
    assert await bot.send_message(BOB_ID, "hello!")
    await control.change_user(BOB_ID, deactivated=True)
    with pytest.raises(Forbidden, match="user is deactivated"):
        await bot.send_message(BOB_ID, "hello?")


async def test_groups_tell_why_they_take_no_message(bot: Bot, control: TelegramControl) -> None:
    group = await control.create_group("Friends", [BOB_ID, CAROL_ID])
    assert await bot.send_message(group.id, "hello")
    await control.set_bot_status(group.id, BOB_ID, "kicked")
    with pytest.raises(Forbidden, match="bot was kicked from the group chat"):
        await bot.send_message(group.id, "hello")
    await control.set_bot_status(group.id, BOB_ID, "member")
    upgraded = await control.upgrade_group(group.id)
    with pytest.raises(ChatMigrated) as migrated:
        await bot.send_message(group.id, "hello")
    assert migrated.value.new_chat_id == upgraded.id
    assert await bot.send_message(upgraded.id, "hello")
    await control.set_bot_status(upgraded.id, BOB_ID, "left")
    with pytest.raises(Forbidden, match="bot is not a member of the supergroup chat"):
        await bot.send_message(upgraded.id, "hello")
    await control.delete_group(upgraded.id)
    with pytest.raises(Forbidden, match="the group chat was deleted"):
        await bot.send_message(upgraded.id, "hello")
