"""The answer to a pressed button (answerCallbackQuery): it ends the spinner, and may show a text to the presser.

Telegram takes one answer to a press, within seconds. A worker gives it, for only it knows what to say; if it is late,
the frontend ends the spinner. Whoever sets the press's key in Redis first answers it:

    ballast:press:<callback query>   string   it is answered
"""

from __future__ import annotations

import asyncio

import redis
import structlog
from telegram import Bot
from telegram.error import TelegramError

from workers.telegram.floods import method_wait, refuse_method
from workers.telegram.pacer import Pacer

log = structlog.get_logger(__name__)

METHOD = "answerCallbackQuery"
TOAST_LENGTH_MAX = 200

_KEPT_SECONDS = 60
"""Longer than Telegram takes an answer."""


class Presses:
    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def take(self, callback_id: str) -> bool:
        """Whether it is this caller's to answer: nobody answered it before. Raises redis.RedisError."""
        return bool(self._client.set(f"ballast:press:{callback_id}", 1, nx=True, ex=_KEPT_SECONDS))


async def answer_press(bot: Bot, presses: Presses, pacer: Pacer, callback_id: str, text: str = "") -> bool:
    """Whether the answer was taken; not if the press was answered before, or is too old. Never raises."""
    try:
        if not await asyncio.to_thread(presses.take, callback_id):
            return False
    except redis.RedisError as error:
        log.warning("press_taken_without_redis", error=type(error).__name__)  # a second answer does no harm
    if await method_wait(pacer, METHOD):
        log.info("press_answer_skipped", why="Telegram wants none for now")
        return False
    try:
        await bot.answer_callback_query(callback_id, text or None)
    except TelegramError as error:
        await refuse_method(pacer, METHOD, error)
        log.info("press_answer_failed", error=str(error))
        return False
    return True
