"""getMe, getChat, sendChatAction, answerCallbackQuery."""

from __future__ import annotations

from typing import Any

from devstack.telegram.errors import bad_request, forbidden
from devstack.telegram.methods.recipients import named_chat, writable_chat
from devstack.telegram.parameters import Parameters
from devstack.telegram.state.chats import BotStatus, ChatType
from devstack.telegram.telegram import Telegram

CHAT_ACTIONS = frozenset(
    {
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_voice",
        "upload_voice",
        "upload_document",
        "choose_sticker",
        "find_location",
        "record_video_note",
        "upload_video_note",
    }
)
ANSWER_LENGTH_MAX = 200


def get_me(telegram: Telegram, params: Parameters) -> dict[str, Any]:
    return {
        **telegram.bot.api(),
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


def get_chat(telegram: Telegram, params: Parameters) -> dict[str, Any]:
    """ChatFullInfo with its required fields."""
    chat = named_chat(telegram, params)
    if chat.type is ChatType.PRIVATE and chat.bot_status is BotStatus.STRANGER:
        raise bad_request("chat not found")
    if chat.type is not ChatType.PRIVATE and chat.bot_status is not BotStatus.MEMBER:
        was = "kicked from" if chat.bot_status is BotStatus.KICKED else "not a member of"
        raise forbidden(f"bot {'was' if 'kicked' in was else 'is'} {was} the {chat.type} chat")
    info = {
        **telegram.chats.api(chat),
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": {
            "unlimited_gifts": False,
            "limited_gifts": False,
            "unique_gifts": False,
            "premium_subscription": False,
            "gifts_from_channels": False,
        },
    }
    if chat.type is ChatType.PRIVATE and "username" in info:
        info["active_usernames"] = [info["username"]]
    if chat.type is not ChatType.PRIVATE:
        info["permissions"] = {"can_send_messages": True}
    return info


def send_chat_action(telegram: Telegram, params: Parameters) -> bool:
    chat = writable_chat(telegram, params)
    action = params.text("action")
    if action not in CHAT_ACTIONS:
        raise bad_request("wrong parameter action in request")
    telegram.live.tell("chat_action", chat_id=chat.id, action=action)
    return True


def answer_callback_query(telegram: Telegram, params: Parameters) -> bool:
    text = params.text("text")
    if len(text) > ANSWER_LENGTH_MAX:
        raise bad_request("MESSAGE_TOO_LONG")
    answer = {"text": text, "show_alert": params.flag("show_alert"), "url": params.text("url")}
    if not telegram.callback_queries.answer(params.text("callback_query_id"), answer):
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    return True
