"""Tells people whose answer takes long that their command is saved.

It is the frontend's to say, because the usual reason is that no worker lives. While the database is unavailable the
workers say so, and whoever says it first is the only one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial

import redis
import structlog
from telegram import Bot

from ballast.apps.buttons import job_id_of_button
from ballast.builtin.replies import PressAppButton
from ballast.chat.notices import late_notice, waits_for_the_database
from ballast.inbox import Inbox
from ballast.messages import Message
from ballast.queueing.envelope import Envelope
from ballast.telegram.errors import SendStatus
from ballast.telegram.rate_limiter import RateLimiter
from ballast.telegram.reply_sender import delete_message, send
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

LATE_SECONDS = 5.0
LOOK_SECONDS = 0.5
WATCHED_MAX = 10_000
AT_ONCE_MAX = 10
"""Notices per look: twenty a second, which leaves Telegram room for answers."""

TOLD_AGAIN_SECONDS = 60.0
"""One chat is not told sooner again, however many of its commands wait."""


class LateNotices:
    """Best effort: the promise is the job's own record."""

    def __init__(
        self,
        bot: Bot,
        inbox: Inbox,
        rate_limiter: RateLimiter,
        settings: Settings,
        *,
        late_seconds: float = LATE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bot = bot
        self._inbox = inbox
        self._pacer = rate_limiter
        self._settings = settings
        self._late_seconds = late_seconds
        self._clock = clock
        self._watched: deque[tuple[float, str, int]] = deque(maxlen=WATCHED_MAX)
        self._told: dict[int, float] = {}

    def watch(self, envelope: Envelope) -> None:
        """A job was taken. Called from any thread."""
        if envelope.chat_id is None or not waits_for_the_database(envelope):
            return
        ids = [envelope.job_id]
        if envelope.kind == PressAppButton.kind:
            # Done at once if nothing is before it: what waits is the job that the button stands for.
            ids.append(job_id_of_button(str(envelope.fields["token"])))
        now = self._clock()
        self._watched.extend((now, job_id, envelope.chat_id) for job_id in ids)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except redis.RedisError as error:
                log.warning("late_notices_without_redis", error=type(error).__name__)

    async def look(self) -> None:
        """Raises redis.RedisError."""
        if ids := self._late():
            for envelope in await asyncio.to_thread(self._inbox.take_late, ids):
                await self._tell(envelope)

    def _late(self) -> list[str]:
        now = self._clock()
        self._told = {chat: at for chat, at in self._told.items() if now - at < TOLD_AGAIN_SECONDS}
        ids: list[str] = []
        while self._watched and now - self._watched[0][0] >= self._late_seconds and len(ids) < AT_ONCE_MAX:
            _, job_id, chat_id = self._watched.popleft()
            if chat_id not in self._told:
                ids.append(job_id)
        return ids

    async def _tell(self, envelope: Envelope) -> None:
        for message in late_notice(envelope, self._settings):
            await self._send(envelope, message)

    async def _send(self, envelope: Envelope, message: Message) -> None:
        wait_seconds: float = await asyncio.to_thread(partial(self._pacer.interactive, message.chat_id))
        if wait_seconds > 0:
            return  # it is not this chat's turn to be written to
        self._told[message.chat_id] = self._clock()
        verdict = await send(self._bot, message)
        log.info("late_notice", job_id=envelope.job_id, meaning=verdict.meaning)
        if verdict.meaning is not SendStatus.DELIVERED or verdict.message_id is None:
            return
        # The answer finds a notice again only in the command's own chat.
        if message.chat_id == envelope.chat_id:
            is_true = await asyncio.to_thread(self._inbox.note_notice, envelope.job_id, verdict.message_id)
        else:
            is_true = await asyncio.to_thread(self._inbox.awaits_notice, envelope.job_id)
        if not is_true:
            await delete_message(self._bot, self._pacer, message.chat_id, verdict.message_id)
