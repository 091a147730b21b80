"""Whether Telegram delivers to our webhook: asked each minute, for a webhook that is gone makes no error anywhere.

A webhook that was removed or moved is set again, a few times an hour at most: somebody else who sets it too would win
as often as we do, and only a person can say whose bot it is.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from telegram import Bot, WebhookInfo
from telegram.error import TelegramError

from bot_frontend.intake_health import Receiver
from bot_frontend.registration import set_webhook
from bot_frontend.registration_record import RegistrationRecord
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

LOOK_SECONDS = 60.0
ERROR_FRESH_SECONDS = 300.0
"""An error that is older, with nothing pending, is over."""

SETS_MAX = 3
SETS_WITHIN_SECONDS = 3600.0
MESSAGE_CHARS_MAX = 120

GONE, ELSEWHERE, FAILING = "WebhookGone", "WebhookElsewhere", "WebhookFailing"

_ADDRESS = re.compile(r"\S*(?:://|\d+\.\d+\.\d+\.\d+)\S*")


class WebhookWatch:
    """Runs until cancelled."""

    def __init__(
        self,
        bot: Bot,
        settings: Settings,
        receiver: Receiver,
        registered: RegistrationRecord,
        *,
        look_seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert settings.telegram_webhook_url is not None  # noqa: S101  made by webhook only
        self._url = settings.telegram_webhook_url
        self._bot = bot
        self._settings = settings
        self._receiver = receiver
        self._registered = registered
        self._look_seconds = look_seconds
        self._clock = clock
        self._sets: deque[float] = deque(maxlen=SETS_MAX)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            try:
                await self.look()
            except TelegramError as error:
                log.warning("webhook_not_looked_up", error=type(error).__name__)

    async def look(self) -> None:
        """Raises TelegramError."""
        info = await self._bot.get_webhook_info()
        error = self._error_of(info)
        self._receiver.looked_up(error, info.pending_update_count)
        if error is not None:
            log.error("webhook_broken", error=error, pending=info.pending_update_count)
        if info.url != self._url:
            await self._set_again()

    def _error_of(self, info: WebhookInfo) -> str | None:
        if info.url != self._url:
            return ELSEWHERE if info.url or len(self._sets) == SETS_MAX else GONE
        if info.last_error_date is None or not info.last_error_message:
            return None
        age_seconds = (datetime.now(UTC) - info.last_error_date).total_seconds()
        if age_seconds > ERROR_FRESH_SECONDS or not info.pending_update_count:
            return None
        return f"{FAILING}: {_ADDRESS.sub('…', info.last_error_message)[:MESSAGE_CHARS_MAX]}"

    async def _set_again(self) -> None:
        now = self._clock()
        if len(self._sets) == SETS_MAX and now - self._sets[0] < SETS_WITHIN_SECONDS:
            log.error("webhook_left_to_another", sets=SETS_MAX, within_seconds=SETS_WITHIN_SECONDS)
            return
        self._sets.append(now)
        await set_webhook(self._bot, self._settings, self._receiver, self._registered)
        log.warning("webhook_set_again")
