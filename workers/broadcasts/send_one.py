"""One copy of a broadcast to one recipient, and what Telegram's answer means for them and for the whole."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from telegram import InlineKeyboardButton, InlineKeyboardMarkup, MessageEntity, User
from telegram.constants import ParseMode
from telegram.error import BadRequest, NetworkError, TelegramError

from ballast.broadcasts import halts
from ballast.telegram.errors import SendResult, SendStatus, classify
from ballast.telegram.transport import NeverSent
from dbcore.broadcasts.leases import DeliveryStatus, Mark, Recipient, Result

if TYPE_CHECKING:
    from telegram import Bot
    from telegram import Message as TelegramMessage

_NOT_FOUND = re.compile(r"messages? to copy not found|there are no messages to copy|message_id_invalid")


@dataclass(frozen=True)
class SendOutcome:
    """How a send ended.

    result -- PENDING where Telegram certainly did not take it.
    wait_seconds -- how long to leave Telegram alone.
    flood -- Telegram said so itself, by a 429: this chat has to wait.
    bad_payload -- why it can be delivered to nobody.
    """

    result: Result
    wait_seconds: float = 0.0
    flood: bool = False
    bad_payload: str | None = None

    @property
    def troubled(self) -> bool:
        """Telegram is away, or not itself. That it has too much of us is an answer."""
        return not self.flood and (self.wait_seconds > 0 or self.result.status is DeliveryStatus.UNKNOWN)


async def post(bot: Bot, payload: Mapping[str, Any], recipient: Recipient, *, paid: bool) -> SendOutcome:
    """Send it, as one of its texts (ballast.broadcasts.audience). A chat that moved is followed once."""
    posted = await _try(bot, payload, recipient, recipient.telegram_id, paid=paid)
    if isinstance(posted, int):
        posted = await _try(bot, payload, recipient, posted, paid=paid)
    if isinstance(posted, int):
        return SendOutcome(Result(recipient.user_id, DeliveryStatus.FAILED, error="the chat moved twice"))
    return posted


async def _try(
    bot: Bot, payload: Mapping[str, Any], recipient: Recipient, chat_id: int, *, paid: bool
) -> SendOutcome | int:
    """How it ended, or where the chat moved to."""
    try:
        message_ids = await _send(bot, payload, chat_id, paid=paid)
    except TelegramError as error:
        verdict = classify(error)
        if verdict.meaning is SendStatus.MIGRATED and verdict.migrated_to is not None:
            return verdict.migrated_to
        return _judged(recipient.user_id, verdict, error)
    return SendOutcome(Result(recipient.user_id, DeliveryStatus.SENT, message_ids, mark=Mark.REACHED))


async def _send(bot: Bot, payload: Mapping[str, Any], chat_id: int, *, paid: bool) -> tuple[int, ...]:
    """The ids of what Telegram made of it."""
    allowed = True if paid else None
    if "text" in payload:
        sent = await _send_text(bot, payload, chat_id, allowed)
        return (sent.message_id,)
    copy = payload["copy"]
    source, message_ids = copy["chat_id"], copy["message_ids"]
    if len(message_ids) == 1:
        copied = await bot.copy_message(
            chat_id,
            source,
            message_ids[0],
            reply_markup=_keyboard(copy["buttons"]) if copy.get("buttons") else None,
            allow_paid_broadcast=allowed,
        )
        return (copied.message_id,)
    album = await bot.copy_messages(chat_id, source, message_ids)
    if not album:  # Telegram passes over what it cannot copy
        raise BadRequest("messages to copy not found")
    return tuple(piece.message_id for piece in album)


async def _send_text(
    bot: Bot, payload: Mapping[str, Any], chat_id: int, allowed: bool | None
) -> TelegramMessage:
    """A text, or a medium with a text below it."""
    given = payload.get("entities")
    entities = None if given is None else [_entity(each) for each in given]
    beside: dict[str, Any] = {
        "parse_mode": ParseMode.HTML if entities is None else None,
        "reply_markup": _keyboard(payload["buttons"]) if payload.get("buttons") else None,
        "allow_paid_broadcast": allowed,
    }
    media = payload.get("media")
    if media is None:
        return await bot.send_message(chat_id, payload["text"], entities=entities, **beside)
    send: Callable[..., Awaitable[TelegramMessage]] = getattr(bot, f"send_{media['type']}")
    text = payload["text"] or None
    return await send(chat_id, media["file_id"], caption=text, caption_entities=entities, **beside)


def _entity(entity: Mapping[str, Any]) -> MessageEntity:
    user_id = entity.get("user_id")
    return MessageEntity(
        type=entity["type"],
        offset=entity["offset"],
        length=entity["length"],
        url=entity.get("url"),
        user=None if user_id is None else User(user_id, first_name="", is_bot=False),
        language=entity.get("language"),
        custom_emoji_id=entity.get("custom_emoji_id"),
    )


def _keyboard(buttons: Sequence[Sequence[Mapping[str, str]]]) -> InlineKeyboardMarkup:
    """A copy has no buttons of its own accord."""
    return InlineKeyboardMarkup(
        [
            [
                InlineKeyboardButton(each["text"], url=each.get("url"), callback_data=each.get("data"))
                for each in row
            ]
            for row in buttons
        ]
    )


def _judged(user_id: int, verdict: SendResult, error: TelegramError) -> SendOutcome:
    def ended(status: DeliveryStatus, mark: Mark | None = None) -> Result:
        return Result(user_id, status, error=verdict.description or None, mark=mark)

    match verdict.meaning:
        case SendStatus.DELIVERED:
            return SendOutcome(ended(DeliveryStatus.SENT, Mark.REACHED))
        case SendStatus.BLOCKED:
            return SendOutcome(ended(DeliveryStatus.BLOCKED, Mark.BLOCKED))
        case SendStatus.DEACTIVATED:
            return SendOutcome(ended(DeliveryStatus.BLOCKED, Mark.DEACTIVATED))
        case SendStatus.CHAT_GONE:
            return SendOutcome(ended(DeliveryStatus.FAILED, Mark.STRIKE))
        case SendStatus.REFUSED:
            return SendOutcome(ended(DeliveryStatus.FAILED))
        case SendStatus.UNKNOWN:
            return SendOutcome(ended(DeliveryStatus.UNKNOWN))
        case SendStatus.WAIT if may_be_delivered(error):
            return SendOutcome(ended(DeliveryStatus.UNKNOWN))
        case SendStatus.WAIT:
            waiting = Result(user_id, DeliveryStatus.PENDING)
            return SendOutcome(waiting, verdict.retry_after_seconds, verdict.flood)
        case _:
            reason = verdict.description
            if _NOT_FOUND.search(reason.lower()):
                reason = halts.source_deleted(reason)
            return SendOutcome(ended(DeliveryStatus.FAILED), bad_payload=reason)


def may_be_delivered(error: TelegramError) -> bool:
    """Telegram's 5xx: an answer may be sent again after one, for it is owed. A broadcast is not."""
    return type(error) is NetworkError and not isinstance(error, NeverSent)
