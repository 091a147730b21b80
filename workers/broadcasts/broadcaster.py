"""What a worker process needs to send broadcasts: the fleet's pace, and bounds on what it has under way."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import redis
import structlog

from ballast.broadcasts.lanes import LANES, Lanes
from ballast.broadcasts.service import BroadcastService
from ballast.telegram.rate_limiter import RateLimiter
from dbcore.breaker import CachedStateReader, FleetStore
from dbcore.breaker.rules import BreakerReason, BreakerState
from dbcore.breaker.store import SATURATED_SECONDS
from workers.broadcasts.send_journal import SendJournal
from workers.broadcasts.telegram_breaker import TelegramBreaker
from workers.broadcasts.waiting import WaitingLeases

if TYPE_CHECKING:
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
