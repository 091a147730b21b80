"""copyMessage, copyMessages."""

from __future__ import annotations

import secrets
from typing import Any

from devstack.telegram.errors import bad_request
from devstack.telegram.methods.recipients import named_chat, writable_chat
from devstack.telegram.methods.sending import add_message, read_caption
from devstack.telegram.parameters import Parameters
from devstack.telegram.telegram import Telegram

# What a copy takes over from the original.
COPIED = (
    "text",
    "entities",
    "caption",
    "caption_entities",
    "photo",
    "video",
    "document",
    "link_preview_options",
)

COPIES_MAX = 100


def copy_message(telegram: Telegram, params: Parameters) -> dict[str, Any]:
    chat = writable_chat(telegram, params)
    source = named_chat(telegram, params, "from_chat_id")
    original = telegram.messages.get(source.id, params.integer("message_id"))
    if original is None:
        raise bad_request("message to copy not found")
    content = _copied(original.payload)
    if not content:
        raise bad_request("message can't be copied")
    if params.has("caption") and "text" not in content:
        content = {key: item for key, item in content.items() if not key.startswith("caption")}
        content.update(read_caption(params))
    sent = add_message(telegram, params, chat, content)
    return {"message_id": sent["message_id"]}


def copy_messages(telegram: Telegram, params: Parameters) -> list[dict[str, Any]]:
    """What cannot be found or copied is passed over; an album stays one, under a name of its own."""
    chat = writable_chat(telegram, params)
    source = named_chat(telegram, params, "from_chat_id")
    albums: dict[str, str] = {}
    copies: list[dict[str, Any]] = []
    for message_id in read_message_ids(params, COPIES_MAX):
        original = telegram.messages.get(source.id, message_id)
        content = _copied(original.payload) if original is not None else {}
        if original is None or not content:
            continue
        if params.flag("remove_caption"):
            content = {key: item for key, item in content.items() if not key.startswith("caption")}
        album = original.payload.get("media_group_id")
        if album is not None:
            content["media_group_id"] = albums.setdefault(album, str(secrets.randbits(53)))
        copies.append({"message_id": add_message(telegram, params, chat, content)["message_id"]})
    if not copies:
        raise bad_request("there are no messages to copy")
    return copies


def read_message_ids(params: Parameters, most: int) -> list[int]:
    ids = params.json("message_ids", "message identifiers")
    if not isinstance(ids, list) or not all(type(message_id) is int for message_id in ids):
        raise bad_request("can't parse message identifiers: expected an Array of Integer")
    if not ids:
        raise bad_request("message identifiers are not specified")
    if len(ids) > most:
        raise bad_request("too many message identifiers specified")
    return ids


def _copied(payload: dict[str, Any]) -> dict[str, Any]:
    return {field: payload[field] for field in COPIED if field in payload}
