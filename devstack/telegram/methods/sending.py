"""sendMessage, sendPhoto, sendDocument."""

from __future__ import annotations

from typing import Any

from devstack.telegram.errors import bad_request
from devstack.telegram.images import image_size, image_type
from devstack.telegram.keyboards import read_markup
from devstack.telegram.methods.recipients import writable_chat
from devstack.telegram.parameters import Parameters
from devstack.telegram.state.chats import Chat
from devstack.telegram.state.files import StoredFile
from devstack.telegram.state.topics import GENERAL_ID, Topic
from devstack.telegram.telegram import Telegram
from devstack.telegram.text import CAPTION_LENGTH_MAX, TEXT_LENGTH_MAX, check_length, parse_text


def send_message(telegram: Telegram, params: Parameters) -> dict[str, Any]:
    chat = writable_chat(telegram, params)
    return add_message(telegram, params, chat, read_text(params))


def send_photo(telegram: Telegram, params: Parameters) -> dict[str, Any]:
    chat = writable_chat(telegram, params)
    content = read_caption(params)
    file = _file(telegram, params, "photo", picture=True)
    return add_message(telegram, params, chat, {"photo": [photo_size(file)], **content})


def send_document(telegram: Telegram, params: Parameters) -> dict[str, Any]:
    chat = writable_chat(telegram, params)
    content = read_caption(params)
    file = _file(telegram, params, "document", picture=False)
    return add_message(telegram, params, chat, {"document": document(file), **content})


def read_text(params: Parameters) -> dict[str, Any]:
    """The fields `text` and `entities` of a message."""
    text, entities = parse_text(
        params.text("text"), params.text("parse_mode"), params.json("entities", "message entities")
    )
    if not text:
        raise bad_request("message text is empty")
    check_length(text, TEXT_LENGTH_MAX, "message is too long")
    content: dict[str, Any] = {"text": text, "entities": entities} if entities else {"text": text}
    preview = params.json("link_preview_options", "link preview options")
    return {**content, "link_preview_options": preview} if preview else content


def photo_size(file: StoredFile) -> dict[str, Any]:
    return {
        "file_id": file.file_id,
        "file_unique_id": file.file_unique_id,
        "file_size": file.size,
        "width": file.width or 1,
        "height": file.height or 1,
    }


def document(file: StoredFile) -> dict[str, Any]:
    return {
        "file_name": file.name or "file",
        "mime_type": file.mime_type,
        "file_id": file.file_id,
        "file_unique_id": file.file_unique_id,
        "file_size": file.size,
    }


def video(file: StoredFile) -> dict[str, Any]:
    """Nobody looks into it: every video here is a second long, and of one size."""
    return {**document(file), "duration": 1, "width": 320, "height": 240}


def read_caption(params: Parameters) -> dict[str, Any]:
    if not params.text("caption"):
        return {}
    text, entities = parse_text(
        params.text("caption"), params.text("parse_mode"), params.json("caption_entities", "caption entities")
    )
    check_length(text, CAPTION_LENGTH_MAX, "message caption is too long")
    return {"caption": text, "caption_entities": entities} if entities else {"caption": text}


def _file(telegram: Telegram, params: Parameters, kind: str, *, picture: bool) -> StoredFile:
    """The file of this request: an upload, or the id of one that is known."""
    upload = params.upload(kind)
    if upload is None:
        named = params.text(kind)
        if not named:
            raise bad_request(f"there is no {kind} in the request")
        if named.startswith(("http://", "https://")):
            raise bad_request("failed to get HTTP URL content")
        known = telegram.files.get(named)
        if known is None:
            raise bad_request(
                "wrong remote file identifier specified: can't unserialize it. Wrong last symbol"
            )
        if picture and known.width is None:
            raise bad_request("can't use file of type Document as Photo")
        return known
    if not upload.content:
        raise bad_request("file must be non-empty")
    if not picture:
        return telegram.files.add(upload.content, name=upload.name, mime_type=upload.mime_type)
    size = image_size(upload.content)
    if size is None:
        raise bad_request("IMAGE_PROCESS_FAILED")
    if sum(size) > 10_000:
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    return telegram.files.add(
        upload.content, name=None, mime_type=image_type(upload.content), width=size[0], height=size[1]
    )


def add_message(
    telegram: Telegram, params: Parameters, chat: Chat, content: dict[str, Any]
) -> dict[str, Any]:
    markup = read_markup(params)
    answered = _replied_to(telegram, params, chat)
    payload: dict[str, Any] = {
        "message_id": telegram.messages.draw_id(),
        "from": telegram.bot.api(),
        "chat": telegram.chats.api(chat),
        "date": telegram.clock.date(),
    }
    payload.update(_thread(telegram, params, chat, answered))
    if answered is not None:
        payload["reply_to_message"] = answered
    payload.update(content)
    if params.flag("protect_content"):
        payload["has_protected_content"] = True
    if markup.inline is not None:
        payload["reply_markup"] = markup.inline
    telegram.messages.add(
        payload, from_bot=True, keyboard=markup.other, silent=params.flag("disable_notification")
    )
    return payload


def _thread(
    telegram: Telegram, params: Parameters, chat: Chat, answered: dict[str, Any] | None
) -> dict[str, Any]:
    """The fields that name the topic: the one that is given, or that of the message that it answers, or General."""
    thread_id = params.optional_integer("message_thread_id")
    topic = None if thread_id is None else telegram.topics.get(chat.id, thread_id)
    if thread_id is not None and (topic is None or thread_id == GENERAL_ID):
        raise bad_request("message thread not found")
    if topic is None:
        answered_in = (answered or {}).get("message_thread_id", GENERAL_ID)
        topic = telegram.topics.get(chat.id, answered_in)
    if topic is None:
        return {}
    if topic.closed:
        raise bad_request("TOPIC_CLOSED")
    return thread_fields(topic)


def thread_fields(topic: Topic) -> dict[str, Any]:
    """What a message of this topic carries; nothing in General."""
    if topic.thread_id == GENERAL_ID:
        return {}
    return {"message_thread_id": topic.thread_id, "is_topic_message": True}


def _replied_to(telegram: Telegram, params: Parameters, chat: Chat) -> dict[str, Any] | None:
    reply = params.json("reply_parameters", "reply parameters")
    if reply is not None and not isinstance(reply, dict):
        raise bad_request("object expected as reply parameters")
    if reply is None and params.has("reply_to_message_id"):
        # The older form of the same parameters.
        reply = {
            "message_id": params.integer("reply_to_message_id"),
            "allow_sending_without_reply": params.flag("allow_sending_without_reply"),
        }
    if not reply:
        return None
    message_id = reply.get("message_id")
    found = telegram.messages.get(chat.id, message_id) if isinstance(message_id, int) else None
    if found is not None:
        return {key: item for key, item in found.payload.items() if key != "reply_to_message"}
    if reply.get("allow_sending_without_reply"):
        return None
    raise bad_request("message to be replied not found")
