"""Takes back what was sent of a broadcast: its messages are deleted from people's chats, as long as Telegram allows.

Bounded jobs, each accepting its follower, as the sending's. Deleting twice is deleting once, so whatever dies, the
inbox brings back the job it died of, and that begins with those whose messages are on record still.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import redis
import structlog
from telegram.error import TelegramError

from ballast.builtin.broadcasts import EraseChunk
from ballast.messages import Message
from ballast.queueing.snooze import Snoozed
from ballast.telegram.errors import SendStatus, classify
from ballast.telegram.floods import refuse_chat
from ballast.texts import ngettext
from dbcore.broadcasts import broadcasts, deliveries
from dbcore.broadcasts.broadcasts import BroadcastRefused
from dbcore.broadcasts.deliveries import DELETABLE_HOURS, Arrived
from dbcore.sentences import Sentence, sentence
from workers.broadcasts.broadcaster import NO_BOT_SECONDS, Broadcaster
from workers.broadcasts.send_one import may_be_delivered

if TYPE_CHECKING:
    from telegram import Bot

log = structlog.get_logger(__name__)

CHUNK = 100
CHUNK_SECONDS_MAX = 8.0
"""After that nobody else is begun with."""

TRYING_AGAIN_SECONDS_MAX = 15.0
"""After that, who was begun with and gave no good answer is passed over."""

DELETE_SECONDS_MAX = 2.5
"""An answer is waited for so long, and then it is deleted once more, which is the same."""

TRIES_MAX = 3
"""A chat that gives no good answer so often is passed over. Ordered again, it is tried again."""

TROUBLES_MAX = 5
"""So many chats without a good answer, and nobody with one: it is Telegram, and not they."""

REST_SECONDS = 5.0
WAIT_SECONDS_MIN = 0.05


@dataclass
class Erasing:
    """One chunk. `people` are those whose messages it deletes."""

    home: Broadcaster
    job: EraseChunk
    job_id: str
    people: deque[Arrived]
    erased: list[int] = field(default_factory=list)
    troubles: Counter[int] = field(default_factory=Counter)
    """By user id: how often there was no good answer."""

    async def run(self, bot: Bot | None) -> list[Message]:
        if bot is None:
            raise Snoozed(NO_BOT_SECONDS)
        if not self.people:
            return await self._told()
        last = self.people[-1].user_id
        put_off_by: Snoozed | None = None
        try:
            await self._delete_all(bot)
        except Snoozed as not_now:
            put_off_by = not_now
        await asyncio.to_thread(
            deliveries.forget_messages, self.home.engine, self.job.broadcast_id, self.erased
        )
        if put_off_by is not None:
            raise put_off_by
        if not self.erased and len(self.troubles) >= TROUBLES_MAX:
            raise Snoozed(REST_SECONDS)
        untried = [each.user_id for each in self.people if each.user_id not in self.troubles]
        after = min(untried, default=last + 1) - 1
        if after == self.job.after_user_id:
            raise Snoozed(REST_SECONDS)  # not even the first one's turn came
        following = self.job.model_copy(update={"after_user_id": after})
        await asyncio.to_thread(self.home.lanes.erase_on, following, self.job, self.job_id)
        return []

    async def _delete_all(self, bot: Bot) -> None:
        """Until all are done or the time is up. Raises Snoozed where Telegram or the pace has us wait for long."""
        loop = asyncio.get_running_loop()
        until = loop.time() + CHUNK_SECONDS_MAX
        while asked := self._to_ask(late_seconds=loop.time() - until):
            try:
                grant = await asyncio.to_thread(
                    self.home.rate_limiter.bulk, [each.telegram_id for each in asked], paid=False
                )
            except redis.RedisError as error:
                raise Snoozed(CHUNK_SECONDS_MAX) from error
            self._pass_over(grant.refused)
            granted = set(grant.granted)
            begun = [each for each in asked if each.telegram_id in granted]
            outcomes = await asyncio.gather(*(self._delete(bot, each) for each in begun))
            for not_now in filter(None, outcomes):
                raise not_now
            if self.people:
                if grant.retry_after_seconds > CHUNK_SECONDS_MAX:
                    raise Snoozed(grant.retry_after_seconds)
                wait_seconds = grant.retry_after_seconds or min(grant.refused.values(), default=0.0)
                await asyncio.sleep(max(WAIT_SECONDS_MIN, min(wait_seconds, CHUNK_SECONDS_MAX)))

    def _pass_over(self, refused: Mapping[int, float]) -> None:
        """Chats that have to wait for longer than this chunk takes. refused -- seconds by Telegram id."""
        for each in [each for each in self.people if refused.get(each.telegram_id, 0) > CHUNK_SECONDS_MAX]:
            self.people.remove(each)
            log.info("broadcast_not_erased", broadcast_id=self.job.broadcast_id, why="its chat has to wait")

    def _to_ask(self, *, late_seconds: float) -> list[Arrived]:
        if late_seconds < 0:
            return list(self.people)
        if late_seconds < TRYING_AGAIN_SECONDS_MAX:
            return [each for each in self.people if each.user_id in self.troubles]
        return []

    async def _delete(self, bot: Bot, arrived: Arrived) -> Snoozed | None:
        """What to raise where Telegram has us wait."""
        try:
            await bot.delete_messages(
                arrived.telegram_id, arrived.message_ids, read_timeout=DELETE_SECONDS_MAX
            )
        except TelegramError as error:
            verdict = classify(error)
            if verdict.meaning is SendStatus.UNKNOWN or may_be_delivered(error):
                self.troubles[arrived.user_id] += 1
                if self.troubles[arrived.user_id] < TRIES_MAX:
                    return None
            elif verdict.meaning is SendStatus.WAIT:
                if not verdict.flood:
                    return Snoozed(verdict.retry_after_seconds)
                pause = await refuse_chat(
                    self.home.rate_limiter, arrived.telegram_id, verdict.retry_after_seconds
                )
                return Snoozed(pause) if pause else None
            log.info("broadcast_not_erased", broadcast_id=self.job.broadcast_id, why=verdict.description)
        else:
            self.erased.append(arrived.user_id)
        self.people.remove(arrived)
        return None

    async def _told(self) -> list[Message]:
        left = await asyncio.to_thread(deliveries.count_messages, self.home.engine, self.job.broadcast_id)
        with await asyncio.to_thread(self.home.languages.speaking_to, self.job.chat_id):
            return [Message(chat_id=self.job.chat_id, text=_deleted(self.job, left))]


def _deleted(job: EraseChunk, left: int) -> str:
    text = ngettext(
        "Broadcast {id} is deleted from {count} chat.",
        "Broadcast {id} is deleted from {count} chats.",
        job.found - left,
        id=str(job.broadcast_id),
    )
    if not left:
        return text
    stays = ngettext(
        "In {count} it stays: there Telegram does not let me or gave no good answer, or {hours} hours are over. "
        "Ordered once more, I try once more.",
        "In {count} it stays: there Telegram does not let me or gave no good answer, or {hours} hours are over. "
        "Ordered once more, I try once more.",
        left,
        hours=DELETABLE_HOURS,
    )
    return f"{text} {stays}"


def begin(home: Broadcaster, broadcast_id: int, chat_id: int, order: str) -> None:
    """Have it done, and the chat told when it is. order -- the id of the job that asks for it.

    Raises BroadcastRefused.
    """
    broadcast = broadcasts.require_progress(home.engine, broadcast_id)
    if not broadcast.status.is_over:
        raise BroadcastRefused(
            sentence(
                "broadcast {id} is {status}: cancel it first",
                id=str(broadcast_id),
                status=Sentence(broadcast.status),
            )
        )
    deliveries.require_kept(home.engine, broadcast, home.lanes.schedule.now())
    found = deliveries.count_messages(home.engine, broadcast_id)
    if not found:
        raise BroadcastRefused(
            sentence("of broadcast {id} there is nothing left to delete", id=str(broadcast_id))
        )
    home.lanes.erase(EraseChunk(broadcast_id=broadcast_id, chat_id=chat_id, found=found), order)


def take_chunk(home: Broadcaster, job: EraseChunk, job_id: str) -> Erasing:
    people = deliveries.arrived(home.engine, job.broadcast_id, after_user_id=job.after_user_id, limit=CHUNK)
    return Erasing(home, job, job_id, deque(people))
