"""What a worker process needs to send broadcasts: the fleet's pace, bounds on what it has under way, and who waits for
their chats.

    ballast:broadcasts:waiting:<broadcast>    zset   number of a lease -> when its recipients may be sent to, unix ms
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, cast

import redis
import structlog

from ballast.broadcasts.lanes import LANES, Lanes
from ballast.broadcasts.service import BroadcastService
from ballast.queueing.snooze import Snoozed
from ballast.telegram.floods import refuse_chat
from ballast.telegram.rate_limiter import RateLimiter
from dbcore.breaker import CachedStateReader, FleetStore
from dbcore.breaker.rules import BreakerReason, BreakerState
from dbcore.breaker.store import SATURATED_SECONDS
from workers.broadcasts.send_journal import SendJournal
from workers.broadcasts.telegram_breaker import TelegramBreaker

if TYPE_CHECKING:
    from telegram import Bot

    from ballast.inbox import Inbox, Publisher
    from dbcore.broadcasts.broadcasts import Progress
    from dbcore.guard.engine import GuardedEngine


log = structlog.get_logger(__name__)

SENDS_AT_ONCE = 200
"""In one process. At a thousand a second, one in a hundred of them hanging for ten seconds, half of these hang."""

STARTING_AT_ONCE = 2
"""Chunks in one process of which not everybody is being sent to yet: one that is recorded, and one that sends."""

CHUNK_SECONDS = 3.0
"""What a chunk is meant to take, so that a pause or the end of the process is heeded soon."""

CHUNK_SIZE_MIN, CHUNK_SIZE_MAX = 5, 1000

NO_BOT_SECONDS = 30.0

TAKEN_AT_ONCE = 50

KEPT_SECONDS = 7 * 86_400
"""Of who waits: as long as a lease's record."""

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
_ADD = f"""{_NOW}
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""
_TAKE_DUE = f"""{_NOW}
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
if #due > 0 then redis.call('ZREM', KEYS[1], unpack(due)) end
return due
"""
_NEXT = f"""{_NOW}
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return first[2] and math.max(0, first[2] - now) or false
"""


class Broadcaster:
    """One per worker process."""

    def __init__(
        self,
        client: redis.Redis,
        engine: GuardedEngine,
        inbox: Inbox,
        publisher: Publisher,
        closing: threading.Event,
        rate_limiter: RateLimiter,
    ) -> None:
        """closing -- set when the process is to end: nobody else is begun with then."""
        self._fleet = FleetStore(client)
        self._state_reader = CachedStateReader(client)
        self.engine = engine
        self.lanes = Lanes(client, inbox, publisher)
        self.languages = inbox.languages
        self.orders = BroadcastService(engine, self.lanes)
        self.record = SendJournal(client)
        self.waiting = WaitingLeases(client)
        self.trouble = TelegramBreaker(client)
        self.troubles_in_a_row = 0  # of the sends of this process
        self.rate_limiter = rate_limiter
        self.closing = closing
        self.starting = threading.BoundedSemaphore(STARTING_AT_ONCE)
        self.sends = asyncio.Semaphore(SENDS_AT_ONCE)  # of the reply sender's loop, from its first use on

    def chunk_size(self, broadcast: Progress) -> int:
        """How many recipients a chunk takes at the rate of now."""
        share = self.rate(broadcast) / LANES
        return max(CHUNK_SIZE_MIN, min(CHUNK_SIZE_MAX, round(share * CHUNK_SECONDS)))

    def rate(self, broadcast: Progress) -> float:
        """Recipients a second that it may go out to."""
        return self.rate_limiter.rate(paid=broadcast.paid) / broadcast.pieces

    def shed(self) -> None:
        """The database has no connections to spare: the whole fleet starts no chunk for a while."""
        log.warning("broadcasts_shed", seconds=SATURATED_SECONDS)
        self._fleet.note_saturation()

    def is_shed(self) -> bool:
        """Whether bulk work is to leave the database alone: some process found no connection to be had."""
        if self._fleet.is_saturated():
            return True
        view = self._state_reader.read()
        return view.reason is BreakerReason.SATURATION and view.state is not BreakerState.CLOSED

    def database_is_shut(self) -> bool:
        """Whether no job on a broadcast can do anything now."""
        return self._state_reader.read().is_open


class WaitingLeases:
    """Recipients whose chat Telegram refused by a 429: they stay leased, under their chunk's number, until their chat
    may be sent to again. So they do not hold up the others, and no chunk in between is handed them.

    Who takes the next chunk gives back those whose time has come. Their lease in the table ends at the same time: if
    Redis loses this list, they are found like the recipients of any expired lease. Raises redis.RedisError.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._add: Any = client.register_script(_ADD)
        self._take_due: Any = client.register_script(_TAKE_DUE)
        self._next: Any = client.register_script(_NEXT)

    def add(self, broadcast_id: int, number: int, seconds: float) -> None:
        """The recipients of this lease wait for so long."""
        self._add(keys=[_waiting_key(broadcast_id)], args=[number, round(1000 * seconds), KEPT_SECONDS])

    def take_due(self, broadcast_id: int) -> list[int]:
        """Leases whose recipients are to be given back now, each to one caller only."""
        return [int(each) for each in self._take_due(keys=[_waiting_key(broadcast_id)], args=[TAKEN_AT_ONCE])]

    def next_seconds(self, broadcast_id: int) -> float | None:
        """Until the first of them is due; None where nobody waits."""
        wait_ms = cast("int | None", self._next(keys=[_waiting_key(broadcast_id)]))
        return None if wait_ms is None else wait_ms / 1000


def _waiting_key(broadcast_id: int) -> str:
    return f"ballast:broadcasts:waiting:{broadcast_id}"


async def acquire_send_slot(home: Broadcaster, bot: Bot | None, chat_id: int, *, pieces: int = 1) -> Bot:
    """The bot, where a message, or an album of so many, may go to this chat now.

    Raises Snoozed otherwise: the job begins anew then.
    """
    if bot is None:
        raise Snoozed(NO_BOT_SECONDS)
    wait_seconds = 0.0
    with contextlib.suppress(redis.RedisError):  # it is owed, as an answer is
        wait_seconds = await asyncio.to_thread(home.rate_limiter.interactive, chat_id, pieces=pieces)
    if wait_seconds:
        raise Snoozed(wait_seconds)
    return bot


async def defer(home: Broadcaster, seconds: float, chat_id: int, *, flood: bool) -> Snoozed:
    """Telegram did not take it: what to raise. flood -- it said 429, so the chat has to wait."""
    if flood:
        await refuse_chat(home.rate_limiter, chat_id, seconds)
    return Snoozed(seconds)
