"""What is sent to an admin about a broadcast keeps the fleet's pace, as answers do: previews, cards, reports."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import redis

from ballast.snooze import Snoozed
from ballast.telegram.floods import refuse_chat
from workers.broadcasts.broadcaster import Broadcaster

if TYPE_CHECKING:
    from telegram import Bot

NO_BOT_SECONDS = 30.0


async def acquire_send_slot(home: Broadcaster, bot: Bot | None, chat_id: int, *, pieces: int = 1) -> Bot:
    """The bot, where a message, or an album of so many, may go to this chat now.

    Raises Snoozed otherwise: the job begins anew then.
    """
    if bot is None:
        raise Snoozed(NO_BOT_SECONDS)
    wait_seconds = 0.0
    with contextlib.suppress(redis.RedisError):  # it is owed, as an answer is
        wait_seconds = await asyncio.to_thread(home.rate_limiter.interactive, chat_id, pieces=pieces)
    if wait_seconds:
        raise Snoozed(wait_seconds)
    return bot


async def defer(home: Broadcaster, seconds: float, chat_id: int, *, flood: bool) -> Snoozed:
    """Telegram did not take it: what to raise. flood -- it said 429, so the chat has to wait."""
    if flood:
        await refuse_chat(home.rate_limiter, chat_id, seconds)
    return Snoozed(seconds)
