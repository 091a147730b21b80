"""Long polling with durable intake. The offset is Telegram's acknowledgement: it moves past an update only when
that is on record.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

import redis
import structlog
from telegram import Bot
from telegram.error import Conflict, RetryAfter, TelegramError

from ballast.telegram.errors import classify
from ballast.telegram.floods import method_wait, refuse_method
from ballast.telegram.rate_limiter import RateLimiter
from bot_frontend.callbacks import CallbackAnswers
from bot_frontend.checkouts import Checkouts
from bot_frontend.handlers import allowed_updates
from bot_frontend.intake import Intake, IntakeFull
from bot_frontend.intake_health import Receiver

log = structlog.get_logger(__name__)

LONG_POLL_SECONDS = 25
BATCH = 100
BACK_OFF_SECONDS_MIN = 0.5  # Telegram cuts `limit` to 1 for an offset that is repeated sooner
BACK_OFF_SECONDS_MAX = 5.0

DELETE_WEBHOOK = "deleteWebhook"


class Poller:
    """Runs until cancelled, in an event loop of its own (own_loop.py), for it waits for Redis in place: a hop to a
    thread and back would take longer than reading an update does. While Redis is away it asks Telegram for nothing new,
    and forgets nothing.

    bot -- of that loop. callbacks, checkouts -- of any other.
    """

    def __init__(
        self,
        bot: Bot,
        intake: Intake,
        callbacks: CallbackAnswers,
        receiver: Receiver,
        rate_limiter: RateLimiter,
        checkouts: Checkouts,
    ) -> None:
        self._bot = bot
        self._checkouts = checkouts
        self._receiver = receiver
        self._pacer = rate_limiter
        self._intake = intake
        self._callbacks = callbacks
        self._offset: int | None = None
        self._back_off_seconds = BACK_OFF_SECONDS_MIN

    async def run(self) -> None:
        while True:
            try:
                updates = await self._get_updates()
                self._receiver.heard()
                await self._take(updates)
                self._back_off_seconds = BACK_OFF_SECONDS_MIN
            except RetryAfter as error:
                self._receiver.failed(type(error).__name__)
                await asyncio.sleep(classify(error).retry_after_seconds)
            except Conflict as error:
                self._receiver.failed("Conflict")
                if "webhook is active" in str(error):
                    await self._remove_webhook()
                else:
                    log.error("another_poller", error=str(error))
                await self._back_off()
            except TelegramError as error:
                log.warning("telegram_away", error=str(error))
                self._receiver.failed(type(error).__name__)
                await self._back_off()
            except (redis.RedisError, IntakeFull) as error:
                log.warning("intake_waits", error=type(error).__name__)
                await self._back_off()

    async def _get_updates(self) -> list[dict[str, Any]]:
        """The updates as they came. `Bot.get_updates` parses them all at once, so a malformed one would take the
        whole batch down, forever.
        """
        query: dict[str, Any] = {
            # Answered at once where we do not know whether we are heard: else that would be known half a minute late.
            "timeout": LONG_POLL_SECONDS if self._receiver.now().ok else 0,
            "limit": BATCH,
            "allowed_updates": "[" + ",".join(f'"{kind}"' for kind in allowed_updates()) + "]",
        }
        if self._offset is not None:
            query["offset"] = self._offset
        url = f"{self._bot.base_url}/getUpdates?{urlencode(query)}"
        answer = await self._bot.request.post(url, read_timeout=LONG_POLL_SECONDS + 10)
        return answer if isinstance(answer, list) else []

    async def _take(self, updates: list[dict[str, Any]]) -> None:
        self._checkouts.answer(updates)  # before the first that may have to wait for Redis
        taken = self._intake.take_many(updates) if updates else []
        for update, one in zip(updates, taken, strict=True):
            if isinstance(one, Exception):
                raise one
            update_id = update.get("update_id")
            if isinstance(update_id, int):
                self._offset = update_id + 1
            if one is not None:
                self._callbacks.answer(one)

    async def _remove_webhook(self) -> None:
        """One that was set before keeps the updates from us until it is gone."""
        if await method_wait(self._pacer, DELETE_WEBHOOK):
            return
        try:
            await self._bot.delete_webhook(drop_pending_updates=False)
        except TelegramError as error:
            log.warning("webhook_not_removed", error=str(error))
            await refuse_method(self._pacer, DELETE_WEBHOOK, error)

    async def _back_off(self) -> None:
        await asyncio.sleep(self._back_off_seconds)
        self._back_off_seconds = min(2 * self._back_off_seconds, BACK_OFF_SECONDS_MAX)
