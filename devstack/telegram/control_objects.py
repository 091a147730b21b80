"""What the control API answers with, as types."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self


class _Read:
    """Built from an answer; fields this client does not know are left out."""

    @classmethod
    def read(cls, answer: dict[str, Any]) -> Self:
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]  # every subclass is a dataclass
        return cls(**{name: value for name, value in answer.items() if name in known})


@dataclass(frozen=True, slots=True)
class ChatUser(_Read):
    id: int
    first_name: str
    last_name: str | None
    username: str | None
    language_code: str | None
    is_admin: bool
    deactivated: bool
    bot_status: str


@dataclass(frozen=True, slots=True)
class Group(_Read):
    id: int
    type: str
    title: str
    bot_status: str
    deleted: bool
    migrated_to: int | None
    member_ids: list[int]


@dataclass(frozen=True, slots=True)
class SeenMessage(_Read):
    """A message as a chat shows it. `text` is the text or caption, `message` the Bot API object."""

    message_id: int
    chat_id: int
    from_bot: bool
    date: int
    text: str
    message: dict[str, Any]
    keyboard: dict[str, Any] | None
    silent: bool
    edits: int
    deleted: bool
    revision: int

    @property
    def buttons(self) -> list[tuple[str, str | None]]:
        """Label and callback_data of every inline button, row by row."""
        rows = self.message.get("reply_markup", {}).get("inline_keyboard", [])
        return [(button["text"], button.get("callback_data")) for row in rows for button in row]

    @property
    def links(self) -> list[tuple[str, str]]:
        """Label and address of every inline button that opens one."""
        rows = self.message.get("reply_markup", {}).get("inline_keyboard", [])
        return [(button["text"], button["url"]) for row in rows for button in row if "url" in button]


@dataclass(frozen=True, slots=True)
class Sent:
    """A user's message and its update, which is None when the bot does not get it."""

    message: SeenMessage
    update_id: int | None


@dataclass(frozen=True, slots=True)
class Press:
    callback_query_id: str
    update_id: int | None


@dataclass(frozen=True, slots=True)
class CallbackQuery(_Read):
    """`answer` is None until the bot answered, then has text, show_alert and url."""

    id: str
    user_id: int
    chat_id: int
    message_id: int
    data: str
    created_at: float
    answered_at: float | None
    answer: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class QueuedUpdate(_Read):
    """An update and its fate; `acknowledged_by` is offset, webhook, dropped or expired."""

    seq: int
    update_id: int
    kind: str
    update: dict[str, Any]
    created_at: float
    handed_out_count: int
    first_handed_out_at: float | None
    last_handed_out_at: float | None
    acknowledged_at: float | None
    acknowledged_by: str | None


@dataclass(frozen=True, slots=True)
class ApiRequest(_Read):
    """One request of the bot.

    `outcome` is what it saw (ok, error, reset, hung), `took_effect` what happened.
    """

    id: int
    method: str
    chat_id: int | None
    params: dict[str, Any]
    started_at: float
    finished_at: float
    outcome: str
    error_code: int | None
    description: str | None
    took_effect: bool
    message_id: int | None
    fault_id: int | None
    fault_kind: str | None


@dataclass(frozen=True, slots=True)
class FaultOrder(_Read):
    id: int
    kind: str
    methods: list[str]
    chat_id: int | None
    count: int | None
    skip: int
    hits: int
