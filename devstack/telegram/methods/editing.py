"""editMessageText, editMessageReplyMarkup, deleteMessage, deleteMessages."""

from __future__ import annotations

from typing import Any

from devstack.telegram.errors import bad_request
from devstack.telegram.keyboards import read_markup
from devstack.telegram.methods.copying import read_message_ids
from devstack.telegram.methods.recipients import named_chat, writable_chat
from devstack.telegram.methods.sending import read_text
from devstack.telegram.parameters import Parameters
from devstack.telegram.state.chats import Chat, ChatType
from devstack.telegram.state.messages import StoredMessage
from devstack.telegram.telegram import Telegram

DELETABLE_SECONDS = 48 * 3600
DELETIONS_MAX = 100

NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same"
    " as a current content and reply markup of the message"
)


def edit_message_text(telegram: Telegram, params: Parameters) -> dict[str, Any]:
    message = _editable(telegram, params)
    content = read_text(params)
    if "text" not in message.payload:
        raise bad_request("there is no text in the message to edit")
    kept = {
        key: item
        for key, item in message.payload.items()
        if key not in ("text", "entities", "link_preview_options")
    }
    return _edit(telegram, params, message, {**kept, **content})


def edit_message_reply_markup(telegram: Telegram, params: Parameters) -> dict[str, Any]:
    message = _editable(telegram, params)
    return _edit(telegram, params, message, dict(message.payload))


def delete_message(telegram: Telegram, params: Parameters) -> bool:
    chat = named_chat(telegram, params)
    message = telegram.messages.get(chat.id, params.integer("message_id"))
    if message is None:
        raise bad_request("message to delete not found")
    if _is_too_old(telegram, message):
        raise bad_request("message can't be deleted for everyone")
    if _is_someone_elses(chat, message):
        raise bad_request("message can't be deleted")
    telegram.messages.delete(message)
    return True


def delete_messages(telegram: Telegram, params: Parameters) -> bool:
    """What cannot be found or deleted is passed over."""
    chat = named_chat(telegram, params)
    for message_id in read_message_ids(params, DELETIONS_MAX):
        message = telegram.messages.get(chat.id, message_id)
        if message is not None and not (_is_too_old(telegram, message) or _is_someone_elses(chat, message)):
            telegram.messages.delete(message)
    return True


def _is_too_old(telegram: Telegram, message: StoredMessage) -> bool:
    return telegram.clock.date() - message.date > DELETABLE_SECONDS


def _is_someone_elses(chat: Chat, message: StoredMessage) -> bool:
    return not message.from_bot and chat.type is not ChatType.PRIVATE


def _editable(telegram: Telegram, params: Parameters) -> StoredMessage:
    if params.has("inline_message_id"):
        raise bad_request("MESSAGE_ID_INVALID")
    chat = writable_chat(telegram, params)
    if not params.text("message_id"):
        raise bad_request("message identifier is not specified")
    message = telegram.messages.get(chat.id, params.integer("message_id"))
    if message is None:
        raise bad_request("message to edit not found")
    if not message.from_bot:
        raise bad_request("message can't be edited")
    return message


def _edit(
    telegram: Telegram, params: Parameters, message: StoredMessage, payload: dict[str, Any]
) -> dict[str, Any]:
    """Give the message new content; without a reply_markup its buttons go."""
    payload.pop("edit_date", None)
    payload.pop("reply_markup", None)
    markup = read_markup(params).inline
    if markup is not None:
        payload["reply_markup"] = markup
    before = {key: item for key, item in message.payload.items() if key != "edit_date"}
    if payload == before:
        raise bad_request(NOT_MODIFIED)
    payload["edit_date"] = telegram.clock.date()
    telegram.messages.change(message, payload)
    return payload
