"""Tells the admins that Redis takes no commands. All other alarms go out as jobs, and those are in Redis.

Each frontend tells by itself, so behind a webhook with several frontends the message comes as often.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from html import escape

import structlog
from telegram import Bot

from ballast.alerts.notifier import headed
from ballast.chat.languages import Languages
from ballast.messages import Message
from ballast.telegram.errors import SendStatus
from ballast.telegram.reply_sender import send
from ballast.texts import ENGLISH, gettext, gettext_noop, speaking
from ballast.texts.formats import duration
from bot_frontend.web.snapshot import StatusSnapshot
from dbcore.redis_condition import REFUSES_WRITES

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
TOLD_AFTER_SECONDS = 10.0
"""What is over sooner is in the log and on the pages, and nobody is woken for it."""

NO_ANSWER = gettext_noop(
    "Redis does not answer. No command can be recorded; Telegram keeps new messages for a day. Check the Redis server."
)


def _over(seconds: float) -> str:
    return gettext("Redis takes commands again after {lasted}.", lasted=duration(seconds))


class RedisAlarm:
    """Runs until cancelled."""

    def __init__(
        self,
        bot: Bot,
        admin_ids: Collection[int],
        look: Callable[[], StatusSnapshot],
        languages: Languages,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bot = bot
        self._admin_ids = sorted(admin_ids)
        self._look = look
        self._languages = languages
        self._admins: dict[int, tuple[str, str | None]] = {}
        """The language and the time zone of each, as Redis last had them."""
        self._clock = clock
        self._since: float | None = None
        self._told = False

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Tell what is new, and what is over."""
        why, now = self._why(), self._clock()
        if why is None:
            if self._told and self._since is not None:
                lasted = now - self._since
                await self._tell(lambda: _over(lasted), over=True)
            self._since, self._told = None, False
            await asyncio.to_thread(self._learn)
            return
        if self._since is None:
            self._since = now
        if not self._told and now - self._since >= TOLD_AFTER_SECONDS:
            self._told = True
            await self._tell(lambda: gettext(why), over=False)

    def _why(self) -> str | None:
        look = self._look()
        if not look.redis_answers(time.time()):
            return NO_ANSWER
        trouble = look.redis.stops_intake
        # Of keys that it deletes the workers tell, for it takes writes then.
        return trouble.words if trouble is not None and trouble in REFUSES_WRITES else None

    def _learn(self) -> None:
        self._languages.look_up(self._admin_ids)
        self._admins = {
            each: (self._languages.of(each), self._languages.zone_of(each)) for each in self._admin_ids
        }

    async def _tell(self, said: Callable[[], str], *, over: bool) -> None:
        """said -- in the language that is spoken: each admin's."""
        log.error("alarm", text=said())
        for admin_id in self._admin_ids:
            with speaking(*self._admins.get(admin_id, (ENGLISH, None))):
                text = headed(said(), over=over)
            verdict = await send(self._bot, Message(chat_id=admin_id, text=escape(text)))
            if verdict.meaning is not SendStatus.DELIVERED:
                log.warning("alarm_not_delivered", admin_id=admin_id, meaning=verdict.meaning)
