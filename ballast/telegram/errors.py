"""What Telegram's answer to a send means: one table from python-telegram-bot's errors to what is to be done.

`BadRequest` and `TimedOut` both subclass `NetworkError` there; the order of the questions below matters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    EndPointNotFound,
    Forbidden,
    InvalidToken,
    RetryAfter,
    TelegramError,
)

from ballast.telegram.transport import NeverSent


class SendStatus(StrEnum):
    DELIVERED = "delivered"
    BLOCKED = "blocked"
    DEACTIVATED = "deactivated"
    """The account is gone."""
    CHAT_GONE = "chat_gone"
    MIGRATED = "migrated"
    EDIT_IMPOSSIBLE = "edit_impossible"
    """The message to edit is gone or too old: send a new one."""
    REFUSED = "refused"
    """By this chat alone, which does not take such messages. Others may."""
    BAD_PAYLOAD = "bad_payload"
    WAIT = "wait"
    """Not taken: try again after `retry_after_seconds`."""
    UNKNOWN = "unknown"
    """The request may have been written and no good answer came: it may have been delivered."""


@dataclass(frozen=True)
class SendResult:
    """chat_id -- the chat that the request was for: another than the message's if that group moved or did not take it.
    message_id -- of that chat.
    flood -- Telegram said 429: what was refused has to wait (rate_limiter.py).
    """

    meaning: SendStatus
    retry_after_seconds: float = 0.0
    migrated_to: int | None = None
    description: str = ""
    chat_id: int | None = None
    message_id: int | None = None
    flood: bool = False


_EDIT_IMPOSSIBLE = ("message to edit not found", "message can't be edited", "message_id_invalid")
_CHAT_GONE = ("chat not found", "peer_id_invalid", "group chat was deactivated", "chat_write_forbidden")
_REFUSED = re.compile(
    # a user's own settings
    r"voice_messages_forbidden|restricted receiving of|privacy_premium_required|allow_payment_required"
    # a chat's rules for what may be sent to it
    r"|(not enough|have no) rights to send|chat_restricted|chat_(guest_)?send_(\w+_)?forbidden"
    r"|chat_admin_required|user_banned_in_channel|topic_(closed|deleted)|message thread not found"
    # who cannot be written to at all, in the words that come with a 400
    r"|user not found|user_is_bot|user_is_blocked|you_blocked_user|user_deactivated"
)
"""400s that tell of one chat, and nothing of the message. Any other is taken to be about the message."""
AWAY_SECONDS = 2.0
MISCONFIGURED_SECONDS = 30.0
"""A wrong token mends by an operator's hand, not by trying."""


def classify(error: TelegramError) -> SendResult:
    text = str(error)
    lowered = text.lower()
    if isinstance(error, RetryAfter):
        seconds = error.retry_after
        wait = float(seconds if isinstance(seconds, int) else seconds.total_seconds())
        return SendResult(SendStatus.WAIT, wait, description=text, flood=True)
    if isinstance(error, ChatMigrated):
        return SendResult(SendStatus.MIGRATED, migrated_to=error.new_chat_id, description=text)
    if isinstance(error, Forbidden):
        words = {"blocked": SendStatus.BLOCKED, "deactivated": SendStatus.DEACTIVATED}
        gone = next((meaning for word, meaning in words.items() if word in lowered), SendStatus.CHAT_GONE)
        return SendResult(gone, description=text)
    if isinstance(error, BadRequest):
        if "message is not modified" in lowered:
            return SendResult(SendStatus.DELIVERED, description=text)
        if any(part in lowered for part in _EDIT_IMPOSSIBLE):
            return SendResult(SendStatus.EDIT_IMPOSSIBLE, description=text)
        if any(part in lowered for part in _CHAT_GONE):
            return SendResult(SendStatus.CHAT_GONE, description=text)
        if _REFUSED.search(lowered):
            return SendResult(SendStatus.REFUSED, description=text)
        return SendResult(SendStatus.BAD_PAYLOAD, description=text)
    if isinstance(error, InvalidToken | EndPointNotFound | Conflict):
        return SendResult(SendStatus.WAIT, MISCONFIGURED_SECONDS, None, text)
    if isinstance(error, NeverSent):
        return SendResult(SendStatus.WAIT, AWAY_SECONDS, None, text)
    if error.__cause__ is None:
        # An HTTP answer, 5xx: Telegram says itself that it did not do it.
        return SendResult(SendStatus.WAIT, AWAY_SECONDS, None, text)
    # A time-out or reset after connecting: the message may be in the chat.
    return SendResult(SendStatus.UNKNOWN, AWAY_SECONDS, None, text)
