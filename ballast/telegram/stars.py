"""Telegram's own book of the bot's Stars, as the Bot API tells it."""

from __future__ import annotations

import asyncio
from typing import Any

from telegram.error import TelegramError

from ballast.telegram.bot import make_bot
from ballast.telegram.calls import call
from dbcore.sentences import Explained, sentence
from dbcore.settings import Settings

PAGE = 100
"""As many as Telegram gives at once."""

CALL_SECONDS_MAX = 10.0


class BookUnreadable(Explained):
    """Telegram gave no page of it. What was read before holds."""


class StarBook:
    """Belongs to the event loop of its first call. Each call raises BookUnreadable."""

    def __init__(self, settings: Settings) -> None:
        self._bot = make_bot(settings, connections=1)

    async def transactions(self, offset: int) -> list[dict[str, Any]]:
        """At most PAGE, oldest first, without the first `offset`."""
        answer = await self._ask("getStarTransactions", {"offset": offset, "limit": PAGE})
        transactions: list[dict[str, Any]] = answer["transactions"]
        return transactions

    async def balance(self) -> tuple[int, int]:
        """Stars, and billionths of one."""
        answer = await self._ask("getMyStarBalance", {})
        return answer["amount"], answer.get("nanostar_amount", 0)

    async def close(self) -> None:
        await self._bot.request.shutdown()

    async def _ask(self, method: str, parameters: dict[str, Any]) -> Any:
        try:
            async with asyncio.timeout(CALL_SECONDS_MAX):
                return await call(self._bot, method, parameters)
        except (TelegramError, TimeoutError) as error:
            why = str(error) or sentence("too late")
            raise BookUnreadable(
                sentence("Telegram does not answer {method} ({error})", method=method, error=why)
            ) from error
