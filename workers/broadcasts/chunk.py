"""One chunk of a broadcast: people are leased, sent to from the courier's event loop, and recorded all at once.

    lease ──▶ pacer grants ─▶ intent in Redis ──▶ send ──▶ result in Redis ──▶ … ended ──▶ table, in one batch
                                    │                                            └─ those that hang: in a second one
                                    └─ everybody is being sent to: the follower is accepted, and does not wait for
                                       those whose answer hangs

Whoever takes over a dead sender's chunk begins with what the record in Redis says of it (record.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from typing import TYPE_CHECKING

import redis
import structlog

from dbcore import broadcast_leases
from dbcore.broadcast_leases import DeliveryStatus, Lease, Recipient, Recorded, Result
from dbcore.broadcasts import Broadcast, BroadcastStatus
from dbcore.errors import DatabaseAway
from dbcore.failures import FailureKind
from workers.broadcasts.broadcaster import Broadcaster
from workers.broadcasts.post import Posted, post
from workers.jobs import SendChunk
from workers.messages import Message
from workers.not_now import NotNow

if TYPE_CHECKING:
    from telegram import Bot

log = structlog.get_logger(__name__)

STARTING_SECONDS_MAX = 8.0
"""After that nobody else is begun: who is left is given back."""

HANGING_AFTER_SECONDS = 1.5
"""After everybody was begun with: who has no answer by then is not waited for by the others."""

TROUBLES_MAX = 5
"""Sends in a row that Telegram did not take, or left unknown: then it is left alone for a while."""

REST_SECONDS = 5.0
WITHOUT_REDIS_SECONDS = 0.3
NOTING_ATTEMPTS_MAX = 200


class Chunk:
    """One job's turn. Made in the task, with people leased; run once, on the courier's loop."""

    def __init__(
        self,
        broadcaster: Broadcaster,
        broadcast: Broadcast,
        job: SendChunk,
        lease: Lease,
        holder: str,
        before: dict[int, Result] | None,
    ) -> None:
        """before -- what the record says of the holders before; None where there was no record."""
        self._home = broadcaster
        self._broadcast = broadcast
        self._job = job
        self._lease = lease
        self._holder = holder
        self._results = settled(lease, before)
        self._unsent = deque(self._to_send())
        self._sends: set[asyncio.Task[None]] = set()
        self._recorded: set[int] = set()
        self._to_note: dict[int, Result] = {}
        self._noting: asyncio.Task[None] | None = None
        self._troubles = 0
        self._rest_seconds = 0.0
        self._bad_payload: str | None = None
        self._superseded = False

    def _to_send(self) -> list[Recipient]:
        """Whom nobody was begun with yet. Where the broadcast was stopped meanwhile, nobody."""
        if self._lease.status is not BroadcastStatus.SENDING:
            return []
        for recipient in self._lease.recipients:
            if not recipient.wanted and recipient.user_id not in self._results:
                self._results[recipient.user_id] = Result(
                    recipient.user_id,
                    DeliveryStatus.BLOCKED,
                    error="stopped since the audience was taken down",
                )
        return [each for each in self._lease.recipients if each.user_id not in self._results]

    async def run(self, bot: Bot | None) -> list[Message]:
        """Send, record, and see to the follower. Raises NotNow where this job itself is to go on later."""
        followed = False
        try:
            await self._begin_all(bot)
        finally:
            self._home.starting.release()
        if self._job.number > 0 and not self._unsent and self._may_go_on():
            followed = await self._follow_early()
        await self._until_ended()
        if self._superseded:
            raise NotNow(0)  # another process sends and records what is left
        recorded = await self._record_all()
        if recorded.status is BroadcastStatus.SENDING and not followed:
            if not self._may_go_on():
                raise NotNow(self._rest_seconds)
            await asyncio.to_thread(self._home.lanes.follow, self._job)
        return []

    def _may_go_on(self) -> bool:
        return not (
            self._bad_payload or self._rest_seconds or self._superseded or self._home.closing.is_set()
        )

    async def _follow_early(self) -> bool:
        """Whether the follower is on record: it need not wait for those whose answer hangs."""
        try:
            await asyncio.to_thread(self._home.lanes.follow, self._job)
        except (redis.RedisError, NotNow):
            return False  # it is tried again once all is recorded
        return True

    async def _begin_all(self, bot: Bot | None) -> None:
        """Start a send for each recipient, as the pace allows, until there is a reason to stop."""
        if bot is None:
            self._rest_seconds = REST_SECONDS
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + STARTING_SECONDS_MAX
        while self._unsent and self._may_go_on() and (left := until - loop.time()) > 0:
            room = await self._room(len(self._unsent))
            begun: set[int] = set()
            wait_seconds = 0.0
            try:
                begun, wait_seconds = await asyncio.to_thread(self._granted, room)
            except redis.RedisError as error:
                # Without Redis nobody is begun: there would be no intent to find.
                log.warning("broadcast_without_redis", error=type(error).__name__)
                wait_seconds = WITHOUT_REDIS_SECONDS
            finally:
                for _ in range(room - len(begun)):
                    self._home.sends.release()
            for recipient in [each for each in self._unsent if each.user_id in begun]:
                self._unsent.remove(recipient)
                self._sends.add(asyncio.create_task(self._send(bot, recipient)))
            if wait_seconds > left:
                self._rest_seconds = wait_seconds
            elif self._unsent and wait_seconds > 0:
                await asyncio.sleep(wait_seconds)

    async def _room(self, wanted: int) -> int:
        """How many of the process's sends this chunk may begin now; waits for one at least."""
        await self._home.sends.acquire()
        room = 1
        while room < wanted and not self._home.sends.locked():
            await self._home.sends.acquire()
            room += 1
        return room

    def _granted(self, room: int) -> tuple[set[int], float]:
        """The user ids of those who are sent to now, their intents written; and how long to wait for others."""
        asked = {each.telegram_id: each.user_id for each in list(self._unsent)[:room]}
        grant = self._home.pacer.bulk(list(asked), paid=self._broadcast.paid, pieces=self._broadcast.pieces)
        begun = {asked[chat_id] for chat_id in grant.granted}
        if begun and not self._home.record.intend(self._lease.number, self._holder, begun):
            self._superseded = True
            return set(), 0.0
        return begun, grant.retry_after_seconds

    async def _send(self, bot: Bot, recipient: Recipient) -> None:
        try:
            posted = await post(bot, self._broadcast.payload, recipient, paid=self._broadcast.paid)
        finally:
            self._home.sends.release()
        await self._heed(posted)
        self._results[recipient.user_id] = posted.result
        self._to_note[recipient.user_id] = posted.result
        if self._noting is None or self._noting.done():
            self._noting = asyncio.create_task(self._note())

    async def _heed(self, posted: Posted) -> None:
        self._troubles = self._troubles + 1 if posted.troubled else 0
        if posted.bad_payload is not None and self._bad_payload is None:
            self._bad_payload = posted.bad_payload
        if posted.flood:
            self._rest_seconds = max(self._rest_seconds, posted.wait_seconds)
            with contextlib.suppress(redis.RedisError):  # without Redis nobody begins a send anyway
                await asyncio.to_thread(self._home.pacer.halt, posted.wait_seconds)
        elif self._troubles >= TROUBLES_MAX:
            self._rest_seconds = max(self._rest_seconds, REST_SECONDS, posted.wait_seconds)

    async def _note(self) -> None:
        """Bring the results of ended sends to Redis, as many at a time as have come together."""
        for _ in range(NOTING_ATTEMPTS_MAX):
            if not self._to_note:
                return
            noted, self._to_note = self._to_note, {}
            try:
                await asyncio.to_thread(self._home.record.note, self._lease.number, self._holder, noted)
            except redis.RedisError as error:
                log.warning("broadcast_without_redis", error=type(error).__name__)
                self._to_note = {**noted, **self._to_note}
                await asyncio.sleep(WITHOUT_REDIS_SECONDS)

    async def _until_ended(self) -> None:
        """Wait for all sends. Should some of them hang, what became of the others is brought to the table meanwhile."""
        if not self._sends:
            return
        _, hanging = await asyncio.wait(self._sends, timeout=HANGING_AFTER_SECONDS)
        if hanging and self._results and not self._superseded:
            with contextlib.suppress(DatabaseAway):  # it is tried again at the end
                await self._record(list(self._results.values()))
        await asyncio.gather(*self._sends)

    async def _record_all(self) -> Recorded:
        """Bring what is not there yet to the table, and give back whom nobody was begun with.

        Where the database is away the results are in Redis, and the job comes back to them.
        """
        known = [
            self._results.get(each.user_id, Result(each.user_id, DeliveryStatus.PENDING))
            for each in self._lease.recipients
        ]
        try:
            recorded = await self._record(
                [result for result in known if result.user_id not in self._recorded]
            )
        except DatabaseAway as away:
            if self._noting is not None:
                await self._noting
            if away.kind is FailureKind.SATURATION:
                await asyncio.to_thread(self._home.shed)
            raise
        await asyncio.to_thread(self._home.record.forget, self._lease.number, self._holder)
        return recorded

    async def _record(self, results: list[Result]) -> Recorded:
        recorded = await asyncio.to_thread(
            broadcast_leases.record,
            self._home.engine,
            self._broadcast.id,
            self._lease,
            results,
            halt=self._bad_payload,
        )
        self._recorded.update(result.user_id for result in results)
        await asyncio.to_thread(self._home.record.count, results)
        if self._bad_payload is not None:
            log.error("broadcast_halted", broadcast_id=self._broadcast.id, reason=self._bad_payload)
            await asyncio.to_thread(
                self._home.lanes.tell_of_halt, self._broadcast.id, self._lease.run, self._bad_payload
            )
        if recorded.has_card:
            over = recorded.status is not BroadcastStatus.SENDING
            await asyncio.to_thread(self._home.lanes.show_card, self._broadcast.id, at_once=over)
        return recorded


def new_holder() -> str:
    return uuid.uuid4().hex


def settled(lease: Lease, before: dict[int, Result] | None) -> dict[int, Result]:
    """What is known of a lease that a sender before held. Who is not in it was not begun with."""
    if not lease.again:
        return {}
    if before is None:
        lost = "the record of the sender is lost"
        return {
            each.user_id: Result(each.user_id, DeliveryStatus.UNKNOWN, error=lost)
            for each in lease.recipients
        }
    return {each.user_id: before[each.user_id] for each in lease.recipients if each.user_id in before}
