"""One copy of a broadcast to one recipient, and what Telegram's answer means for them and for the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from telegram.constants import ParseMode
from telegram.error import BadRequest, NetworkError, TelegramError

from dbcore.broadcast_leases import DeliveryStatus, Mark, Recipient, Result
from workers.telegram.transport import NeverSent
from workers.telegram.verdicts import Meaning, Verdict, judge

if TYPE_CHECKING:
    from telegram import Bot


@dataclass(frozen=True)
class Posted:
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


async def post(bot: Bot, payload: Mapping[str, Any], recipient: Recipient, *, paid: bool) -> Posted:
    """Send it. A chat that moved is followed once."""
    posted = await _try(bot, payload, recipient, recipient.telegram_id, paid=paid)
    if isinstance(posted, int):
        posted = await _try(bot, payload, recipient, posted, paid=paid)
    if isinstance(posted, int):
        return Posted(Result(recipient.user_id, DeliveryStatus.FAILED, error="the chat moved twice"))
    return posted


async def _try(
    bot: Bot, payload: Mapping[str, Any], recipient: Recipient, chat_id: int, *, paid: bool
) -> Posted | int:
    """How it ended, or where the chat moved to."""
    try:
        message_ids = await _send(bot, payload, chat_id, paid=paid)
    except TelegramError as error:
        verdict = judge(error)
        if verdict.meaning is Meaning.MIGRATED and verdict.migrated_to is not None:
            return verdict.migrated_to
        return _judged(recipient.user_id, verdict, error)
    return Posted(Result(recipient.user_id, DeliveryStatus.SENT, message_ids, mark=Mark.REACHED))


async def _send(bot: Bot, payload: Mapping[str, Any], chat_id: int, *, paid: bool) -> tuple[int, ...]:
    """The ids of what Telegram made of it."""
    allowed = True if paid else None
    if "text" in payload:
        sent = await bot.send_message(
            chat_id, payload["text"], parse_mode=ParseMode.HTML, allow_paid_broadcast=allowed
        )
        return (sent.message_id,)
    source, message_ids = payload["copy"]["chat_id"], payload["copy"]["message_ids"]
    if len(message_ids) == 1:
        copied = await bot.copy_message(chat_id, source, message_ids[0], allow_paid_broadcast=allowed)
        return (copied.message_id,)
    album = await bot.copy_messages(chat_id, source, message_ids)
    if not album:  # Telegram passes over what it cannot copy
        raise BadRequest("messages to copy not found")
    return tuple(piece.message_id for piece in album)


def _judged(user_id: int, verdict: Verdict, error: TelegramError) -> Posted:
    def ended(status: DeliveryStatus, mark: Mark | None = None) -> Result:
        return Result(user_id, status, error=verdict.description or None, mark=mark)

    match verdict.meaning:
        case Meaning.DELIVERED:
            return Posted(ended(DeliveryStatus.SENT, Mark.REACHED))
        case Meaning.BLOCKED:
            return Posted(ended(DeliveryStatus.BLOCKED, Mark.BLOCKED))
        case Meaning.DEACTIVATED:
            return Posted(ended(DeliveryStatus.BLOCKED, Mark.DEACTIVATED))
        case Meaning.CHAT_GONE:
            return Posted(ended(DeliveryStatus.FAILED, Mark.STRIKE))
        case Meaning.REFUSED:
            return Posted(ended(DeliveryStatus.FAILED))
        case Meaning.UNKNOWN:
            return Posted(ended(DeliveryStatus.UNKNOWN))
        case Meaning.WAIT if may_be_delivered(error):
            return Posted(ended(DeliveryStatus.UNKNOWN))
        case Meaning.WAIT:
            waiting = Result(user_id, DeliveryStatus.PENDING)
            return Posted(waiting, verdict.retry_after_seconds, verdict.flood)
        case _:
            return Posted(ended(DeliveryStatus.FAILED), bad_payload=verdict.description)


def may_be_delivered(error: TelegramError) -> bool:
    """Telegram's 5xx: an answer may be sent again after one, for it is owed. A broadcast is not."""
    return type(error) is NetworkError and not isinstance(error, NeverSent)
