"""Whom a bot may write to, and what it is told when it may not."""

from __future__ import annotations

from devstack.telegram.errors import bad_request, forbidden
from devstack.telegram.parameters import Parameters
from devstack.telegram.state.chats import BotStatus, Chat, ChatType
from devstack.telegram.telegram import Telegram


def named_chat(telegram: Telegram, params: Parameters, name: str = "chat_id") -> Chat:
    """The chat a parameter names, whether the bot may write there or not."""
    text = params.text(name).strip()
    if not text:
        raise bad_request(f"{name} is empty")
    try:
        chat_id = int(text)
    except ValueError:
        # A bot resolves @names of public channels and supergroups only, never of people.
        raise bad_request("chat not found") from None
    chat = telegram.chats.get(chat_id)
    if chat is None:
        raise bad_request("chat not found")
    return chat


def writable_chat(telegram: Telegram, params: Parameters, name: str = "chat_id") -> Chat:
    chat = named_chat(telegram, params, name)
    if chat.migrated_to is not None:
        raise bad_request(
            "group chat was upgraded to a supergroup chat", {"migrate_to_chat_id": chat.migrated_to}
        )
    if chat.type is ChatType.PRIVATE:
        if telegram.users.require(chat.id).deactivated:
            raise forbidden("user is deactivated")
        if chat.bot_status is BotStatus.STRANGER:
            raise forbidden("bot can't initiate conversation with a user")
        if chat.bot_status is BotStatus.KICKED:
            raise forbidden("bot was blocked by the user")
        return chat
    if chat.deleted:
        raise forbidden("the group chat was deleted")
    if chat.bot_status is BotStatus.KICKED:
        raise forbidden(f"bot was kicked from the {chat.type} chat")
    if chat.bot_status is BotStatus.LEFT:
        raise forbidden(f"bot is not a member of the {chat.type} chat")
    return chat
