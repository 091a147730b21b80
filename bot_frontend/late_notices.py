"""Tells people whose answer takes long that their command is saved.

It is the frontend's to say, because the usual reason is that no worker lives. While the database is unavailable the
workers say so, and whoever says it first is the only one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
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
LOOKED_AT_MAX = 1_000
"""Commands per look: two thousand a second, so that whoever waits is not found behind those who have their answer."""

AT_ONCE_MAX = 10
"""Notices per look: twenty a second, which leaves Telegram room for answers."""

TOLD_AGAIN_SECONDS = 60.0
"""One chat is not told sooner again, however many of its commands wait."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """A command that was taken. Its user waits while one of these jobs has no answer."""

    taken_at: float
    chat_id: int
    job_ids: list[str]


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
        self._watched: deque[_Watched] = deque(maxlen=WATCHED_MAX)
        self._told: dict[int, float] = {}

    def watch(self, envelope: Envelope) -> None:
        """A job was taken. Called from any thread."""
        if envelope.chat_id is None or not waits_for_the_database(envelope):
            return
        ids = [envelope.job_id]
        if envelope.kind == PressAppButton.kind:
            # Done at once if nothing is before it: what waits is the job that the button stands for.
            ids.append(job_id_of_button(str(envelope.fields["token"])))
        self._watched.append(_Watched(self._clock(), envelope.chat_id, ids))

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
        if due := self._due():
            ids = [job_id for each in due for job_id in each.job_ids]
            looked_at, late = await asyncio.to_thread(self._inbox.take_late, ids, most=AT_ONCE_MAX)
            seen = {*ids[:looked_at]}
            self._watched.extendleft(each for each in reversed(due) if not seen.issuperset(each.job_ids))
            for envelope in late:
                await self._tell(envelope)

    def _due(self) -> list[_Watched]:
        """Taken off what is watched: the longest waiting command of each chat that was not told lately."""
        now = self._clock()
        self._told = {chat: at for chat, at in self._told.items() if now - at < TOLD_AGAIN_SECONDS}
        due: dict[int, _Watched] = {}
        behind: list[_Watched] = []
        while (
            self._watched
            and now - self._watched[0].taken_at >= self._late_seconds
            and len(due) < LOOKED_AT_MAX
        ):
            watched = self._watched.popleft()
            if watched.chat_id in due:
                behind.append(watched)
            elif watched.chat_id not in self._told:
                due[watched.chat_id] = watched
        self._watched.extendleft(reversed(behind))
        return [*due.values()]

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
