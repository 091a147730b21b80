"""What follows from a 429: what was refused waits, and nothing else (rate_limiter.py).

None of these raises: without Redis the others hear of it from Telegram itself.
"""

from __future__ import annotations

import asyncio

import redis
import structlog
from telegram.error import TelegramError

from ballast.inbox import Batcher
from ballast.telegram.errors import classify
from ballast.telegram.rate_limiter import RateLimiter

log = structlog.get_logger(__name__)


async def refuse_chat(rate_limiter: RateLimiter, chat_id: int, seconds: float) -> float:
    """Telegram refused a send to this chat. For how long the whole fleet pauses; 0.0 where only the chat waits."""
    try:
        pause_seconds = await asyncio.to_thread(rate_limiter.refuse_chat, chat_id, seconds)
    except redis.RedisError as away:
        log.warning("flood_not_told", error=type(away).__name__)
        return 0.0
    log.warning("flood", what="chat", retry_after_seconds=seconds, fleet_pauses_seconds=pause_seconds)
    return pause_seconds


async def refuse_method(rate_limiter: RateLimiter, method: str, error: TelegramError) -> float:
    """For how many seconds nobody is to ask for this method; 0.0 where the error is no 429."""
    verdict = classify(error)
    if not verdict.flood:
        return 0.0
    log.warning("flood", what=method.partition(":")[0], retry_after_seconds=verdict.retry_after_seconds)
    try:
        await asyncio.to_thread(rate_limiter.refuse_method, method, verdict.retry_after_seconds)
    except redis.RedisError as away:
        log.warning("flood_not_told", error=type(away).__name__)
    return verdict.retry_after_seconds


async def method_wait(
    rate_limiter: RateLimiter, method: str, waits: Batcher[str, float] | None = None
) -> float:
    """For how many seconds Telegram wants no request of this method still.

    waits -- asks the rate_limiter for many together.
    """
    try:
        if waits is not None:
            return await waits.do(method)
        return await asyncio.to_thread(rate_limiter.method_wait, method)
    except redis.RedisError:
        return 0.0
