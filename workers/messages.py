"""What goes out to people: messages with buttons, as JSON values that can wait in Redis."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Button(BaseModel):
    """An inline button. `data` comes back when it is pressed: opaque, at most 64 bytes, never an amount."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str = Field(min_length=1, max_length=64)
    data: str = Field(min_length=1, max_length=64)


class Message(BaseModel):
    """One message to one chat.

    text -- Telegram's HTML; whatever came from people is escaped already.
    edit_message_id -- the bot's message to replace; where that is gone a new one is sent.
    picture -- a PNG in base64; the text then stands under it, and has at most 1024 characters.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    chat_id: int
    text: str = Field(min_length=1, max_length=4096)
    buttons: tuple[tuple[Button, ...], ...] = ()
    edit_message_id: int | None = None
    picture: str | None = Field(default=None, max_length=200_000)


_MESSAGES = TypeAdapter(tuple[Message, ...])


def to_json(messages: Iterable[Message]) -> str:
    """An answer as it waits on its job's record."""
    return _MESSAGES.dump_json(tuple(messages)).decode()


def from_json(text: str) -> list[Message]:
    """What `to_json` made, by whatever release."""
    return list(_MESSAGES.validate_json(text))
