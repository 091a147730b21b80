"""The answer to a pressed button (answerCallbackQuery): it ends the spinner, and may show a text to the presser.

Telegram takes one answer to a press, within seconds. A worker gives it, for only it knows what to say; if it is late,
the frontend ends the spinner. Whoever sets the press's key in Redis first answers it:

    ballast:press:<callback query>   string   it is answered
"""

from __future__ import annotations

from collections.abc import Sequence

import redis
import structlog
from telegram import Bot
from telegram.error import TelegramError

from ballast.inbox import Batcher
from ballast.telegram.calls import call
from ballast.telegram.floods import refuse_method
from ballast.telegram.rate_limiter import RateLimiter, method_key

log = structlog.get_logger(__name__)

METHOD = "answerCallbackQuery"
TOAST_LENGTH_MAX = 200

_KEPT_SECONDS = 60
"""Longer than Telegram takes an answer."""


class Presses:
    """All in one event loop. Presses that are looked at together are one round trip."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._batcher: Batcher[str, float | None] = Batcher(self._take_many)

    async def take(self, callback_id: str) -> float | None:
        """For how many seconds Telegram still wants no answers to presses; None if this one is not the caller's to
        answer, because it was answered before. Raises redis.RedisError.
        """
        return await self._batcher.do(callback_id)

    def _take_many(self, callback_ids: Sequence[str]) -> list[float | None]:
        with self._client.pipeline(transaction=False) as pipeline:
            for callback_id in callback_ids:
                pipeline.set(f"ballast:press:{callback_id}", 1, nx=True, ex=_KEPT_SECONDS)
            pipeline.pttl(method_key(METHOD))
            *taken, wait_ms = pipeline.execute()
        return [max(0, wait_ms) / 1000 if is_ours else None for is_ours in taken]


async def answer_press(
    bot: Bot, presses: Presses, rate_limiter: RateLimiter, callback_id: str, text: str = ""
) -> bool:
    """Whether the answer was taken; not if the press was answered before, or is too old. Never raises."""
    wait_seconds: float | None = 0.0
    try:
        wait_seconds = await presses.take(callback_id)
    except redis.RedisError as error:
        log.warning("press_taken_without_redis", error=type(error).__name__)  # a second answer does no harm
    if wait_seconds is None:
        return False
    if wait_seconds:
        log.info("press_answer_skipped", why="Telegram wants none for now")
        return False
    try:
        await call(bot, METHOD, {"callback_query_id": callback_id, "text": text or None})
    except TelegramError as error:
        await refuse_method(rate_limiter, METHOD, error)
        log.info("press_answer_failed", error=str(error))
        return False
    return True
