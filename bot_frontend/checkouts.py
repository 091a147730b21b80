"""Answers Telegram's question before a payment, from memory: it wants the answer within ten seconds, and once.

Yes to an invoice that this bot wrote and that still holds, no with the reason to anything else, so that nobody is
charged by an invoice that should not be there.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import structlog
from telegram import Bot
from telegram.error import BadRequest, RetryAfter, TelegramError

from ballast.texts import negotiated, speaking
from bot_frontend.deposits import refusal
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

ANSWER_SECONDS_MAX = 10.0
TRIES_MAX = 3
RETRY_SECONDS = 0.5
OUTSTANDING_MAX = 200
REMEMBERED_MAX = 1_000
"""Queries that were answered. While updates cannot be recorded, the same ones come again and again."""


class Checkouts:
    """Beside everything: needs neither Redis nor the database, and waits for no other update. It works in the event
    loop in which it was made; `answer` may be called from any thread.
    """

    def __init__(self, bot: Bot, settings: Settings) -> None:
        self._bot = bot
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._answered: OrderedDict[str, None] = OrderedDict()

    def answer(self, updates: Iterable[Any]) -> None:
        """Answer every checkout among these updates, each once."""
        for update in updates:
            query = update.get("pre_checkout_query") if isinstance(update, dict) else None
            if isinstance(query, dict):
                self._loop.call_soon_threadsafe(self._begin, query)

    def _begin(self, query: dict[str, Any]) -> None:
        query_id = query.get("id")
        if not isinstance(query_id, str) or query_id in self._answered:
            return
        if len(self._tasks) >= OUTSTANDING_MAX:
            log.warning("checkout_not_answered", outstanding=len(self._tasks))
            return  # unanswered it fails
        self._answered[query_id] = None
        if len(self._answered) > REMEMBERED_MAX:
            self._answered.popitem(last=False)
        with speaking(_language_of(query)):
            refused = refusal(query, self._settings)
        task = asyncio.create_task(self._answer(query_id, refused))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, query_id: str, refused: str | None) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                for _ in range(TRIES_MAX):
                    if await self._try(query_id, refused):
                        return
                    await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            log.warning("checkout_not_answered", query_id=query_id, error="too late")

    async def _try(self, query_id: str, refused: str | None) -> bool:
        """Whether that was all: it is answered, or Telegram takes no answer from us now."""
        try:
            await self._bot.answer_pre_checkout_query(query_id, ok=refused is None, error_message=refused)
        except TelegramError as error:
            log.warning("checkout_not_answered", query_id=query_id, error=str(error))
            return isinstance(error, BadRequest | RetryAfter)
        log.info("checkout_answered", query_id=query_id, agreed=refused is None)
        return True


def _language_of(query: object) -> str:
    """As Telegram says it: there is no time to look up another one."""
    payer = query.get("from") if isinstance(query, dict) else None
    code = payer.get("language_code") if isinstance(payer, dict) else None
    return negotiated(code if isinstance(code, str) else None)
