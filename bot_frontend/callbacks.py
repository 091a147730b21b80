"""Answers callback queries, so that a pressed button stops spinning, whatever becomes of the job."""

from __future__ import annotations

import asyncio

import structlog
from telegram import Bot
from telegram.error import TelegramError

from workers.telegram.floods import method_wait, refuse_method
from workers.telegram.pacer import Pacer

log = structlog.get_logger(__name__)

OUTSTANDING_MAX = 50

METHOD = "answerCallbackQuery"


class CallbackAnswers:
    """Best effort, and beside the job: a lost one costs a spinner, the outcome comes as a message."""

    def __init__(self, bot: Bot, pacer: Pacer) -> None:
        self._bot = bot
        self._pacer = pacer
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, callback_id: str) -> None:
        if len(self._tasks) >= OUTSTANDING_MAX:
            log.warning("callback_answer_skipped", outstanding=len(self._tasks))
            return
        task = asyncio.create_task(self._answer(callback_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, callback_id: str) -> None:
        if await method_wait(self._pacer, METHOD):
            log.info("callback_answer_skipped", why="Telegram wants none for now")
            return
        try:
            await self._bot.answer_callback_query(callback_id)
        except TelegramError as error:
            await refuse_method(self._pacer, METHOD, error)
            log.info("callback_answer_failed", error=str(error))
