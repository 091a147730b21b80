"""Telegram's updates, read: the few fields Ballast uses, checked, in its own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from dbcore.text import storable
from workers.origins import Origin

ALLOWED_UPDATES = ("message", "callback_query", "my_chat_member")
"""Named explicitly to Telegram, which otherwise leaves some kinds out and sends others we have no use for."""


GENERAL_THREAD_ID = 1


class UpdateUnreadable(Exception):
    """An update is not what the Bot API documents. The message says where."""


# Half of a surrogate pair in a name must not keep its bearer from their balance.
_Text = Annotated[str, AfterValidator(storable)]
# What Telegram counts with, and PostgreSQL and Redis still hold.
_Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_Date = Annotated[int, Field(ge=0, lt=253_402_300_800)]  # Unix time, to the end of the year 9999


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _User(_Part):
    id: int = Field(gt=0, lt=2**52)
    is_bot: bool = False
    first_name: _Text = ""
    username: _Text | None = Field(default=None, max_length=64)
    language_code: _Text | None = Field(default=None, max_length=35)


class _Chat(_Part):
    id: _Integer
    type: _Text = "private"


class _Original(_Part):
    message_id: _Integer
    sender: _User | None = Field(default=None, alias="from")
    media_group_id: _Text | None = Field(default=None, max_length=64)


class _Message(_Original):
    date: _Date
    chat: _Chat
    text: _Text | None = None
    message_thread_id: _Integer | None = None
    is_topic_message: bool = False
    forum_topic_created: object = None
    forum_topic_edited: object = None
    forum_topic_closed: object = None
    forum_topic_reopened: object = None
    reply_to_message: _Original | None = None

    @property
    def tells_of_a_topic(self) -> bool:
        """It is Telegram's own message that a topic was made or changed."""
        changes = (
            self.forum_topic_created,
            self.forum_topic_edited,
            self.forum_topic_closed,
            self.forum_topic_reopened,
        )
        return any(change is not None for change in changes)


class _CallbackQuery(_Part):
    id: _Text
    sender: _User = Field(alias="from")
    message: _Message | None = None
    data: _Text | None = None


class _Member(_Part):
    status: _Text


class _Membership(_Part):
    date: _Date
    chat: _Chat
    sender: _User = Field(alias="from")
    new_chat_member: _Member


class _Update(_Part):
    update_id: _Integer
    message: _Message | None = None
    callback_query: _CallbackQuery | None = None
    my_chat_member: _Membership | None = None


@dataclass(frozen=True)
class Sender:
    telegram_id: int
    username: str | None
    first_name: str
    language_code: str | None = None


@dataclass(frozen=True)
class Posting:
    """A message of a chat. `album` is Telegram's name for the album it is a piece of, where it is one.

    author_id -- who wrote it, as far as Telegram tells.
    """

    message_id: int
    album: str | None = None
    author_id: int | None = None


@dataclass(frozen=True)
class TextMessage:
    """Somebody wrote. `text` is empty for photos and the like.

    replied_to -- the message of the same chat that this one answers.
    thread_id -- the topic; None for General, and where there are none.
    """

    update_id: int
    date: int
    chat_id: int
    is_private: bool
    sender: Sender
    text: str
    posting: Posting | None = None
    replied_to: Posting | None = None
    thread_id: int | None = None

    @property
    def origin(self) -> Origin:
        command_id = None if self.posting is None else self.posting.message_id
        return Origin(self.chat_id, self.sender.telegram_id, command_id, self.thread_id)


@dataclass(frozen=True)
class ButtonPress:
    """Somebody pressed an inline button.

    message_id -- the message the button hangs on; None where Telegram no longer tells.
    """

    update_id: int
    date: int
    chat_id: int
    message_id: int | None
    sender: Sender
    callback_id: str
    data: str
    thread_id: int | None = None

    @property
    def origin(self) -> Origin:
        return Origin(self.chat_id, self.sender.telegram_id, None, self.thread_id)


@dataclass(frozen=True)
class MembershipChange:
    """A user blocked the bot in their private chat with it, or came back."""

    update_id: int
    date: int
    sender: Sender
    is_blocked: bool


Reading = TextMessage | ButtonPress | MembershipChange


def read(raw: Any) -> Reading | None:
    """What an update says; None for one that concerns nobody here, such as a channel's post.

    Raises UpdateUnreadable where a documented field is missing or of another type.
    """
    try:
        update = _Update.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UpdateUnreadable(f"{where}: {first['msg']}") from None
    if update.message is not None:
        return _message(update.update_id, update.message)
    if update.callback_query is not None:
        return _press(update.update_id, update.callback_query)
    if update.my_chat_member is not None:
        return _membership(update.update_id, update.my_chat_member)
    return None


def _message(update_id: int, message: _Message) -> TextMessage | None:
    if message.sender is None or message.sender.is_bot or message.tells_of_a_topic:
        return None
    return TextMessage(
        update_id=update_id,
        date=message.date,
        chat_id=message.chat.id,
        is_private=message.chat.type == "private",
        sender=_sender(message.sender),
        text=message.text or "",
        posting=_posting(message),
        replied_to=_replied_to(message),
        thread_id=_thread(message),
    )


def _replied_to(message: _Message) -> Posting | None:
    """The message that it answers. One that answers nothing comes as an answer to the first message of its topic."""
    original = message.reply_to_message
    if original is None or (message.is_topic_message and original.message_id == message.message_thread_id):
        return None
    return _posting(original)


def _thread(message: _Message) -> int | None:
    """The topic to answer in. Telegram does not take General's number back, and elsewhere it is one of replies."""
    if not message.is_topic_message or message.message_thread_id == GENERAL_THREAD_ID:
        return None
    return message.message_thread_id


def _posting(message: _Original) -> Posting:
    author_id = None if message.sender is None else message.sender.id
    return Posting(message.message_id, message.media_group_id, author_id)


def _press(update_id: int, query: _CallbackQuery) -> ButtonPress:
    message = query.message
    return ButtonPress(
        update_id=update_id,
        date=message.date if message else 0,
        chat_id=message.chat.id if message else query.sender.id,
        message_id=message.message_id if message else None,
        sender=_sender(query.sender),
        callback_id=query.id,
        data=query.data or "",
        thread_id=_thread(message) if message else None,
    )


def _membership(update_id: int, change: _Membership) -> MembershipChange | None:
    if change.chat.type != "private":
        return None
    return MembershipChange(
        update_id=update_id,
        date=change.date,
        sender=_sender(change.sender),
        is_blocked=change.new_chat_member.status == "kicked",
    )


def _sender(user: _User) -> Sender:
    return Sender(
        telegram_id=user.id,
        username=user.username,
        first_name=user.first_name[:256],
        language_code=user.language_code,
    )
