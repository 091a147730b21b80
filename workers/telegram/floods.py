"""A 429 concerns everybody: whoever hears one, at whatever call, has the whole fleet wait until its end."""

from __future__ import annotations

import asyncio

import redis
import structlog
from telegram.error import TelegramError

from workers.telegram.pacer import Pacer
from workers.telegram.verdicts import judge

log = structlog.get_logger(__name__)


async def heed_flood(pacer: Pacer, error: TelegramError, *, chat_id: int | None = None) -> float:
    """For how many seconds Telegram will have nothing of us; 0.0 where the error is no 429.

    chat_id -- where it was a reply to this chat.
    Never raises: without Redis the others hear of it from Telegram itself.
    """
    verdict = judge(error)
    if not verdict.flood:
        return 0.0
    try:
        await asyncio.to_thread(pacer.halt, verdict.retry_after_seconds, chat_id=chat_id)
    except redis.RedisError as away:
        log.warning("flood_not_told", error=type(away).__name__)
    return verdict.retry_after_seconds
