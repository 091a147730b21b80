"""One chunk of a broadcast: people are leased, sent to from the reply sender's event loop, and recorded all at once.

    lease ──▶ granted by the limiter, intent in Redis ──▶ send ──▶ result in Redis ──▶ … ended ──▶ table, in one batch
                                │                                                        └─ those that hang: in a second
                                └─ everybody is being sent to, and somebody answered: the follower is accepted,
                                   and does not wait for those whose answer hangs

A recipient whose chat Telegram refuses by a 429 stays leased until that chat may be sent to again (WaitingLeases), and
holds up nobody else.

Whoever takes over a dead sender's chunk begins with what the record in Redis says of it (send_journal.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import redis
import structlog

from ballast.broadcasts.audience import payload_of, variant_of
from ballast.broadcasts.lanes import SILENCE_SECONDS_MAX
from ballast.builtin.broadcasts import SendChunk
from ballast.messages import Message
from ballast.queueing.snooze import Snoozed
from ballast.telegram.floods import refuse_chat
from dbcore.breaker.store import SATURATED_SECONDS
from dbcore.broadcasts import broadcasts, leases
from dbcore.broadcasts.broadcasts import BroadcastRefused, BroadcastStatus, Progress
from dbcore.broadcasts.leases import DeliveryStatus, Lease, Recipient, Recorded, Result
from dbcore.errors import DatabaseAway
from dbcore.failures import FailureKind
from workers.broadcasts.broadcaster import Broadcaster
from workers.broadcasts.send_one import SendOutcome, post
from workers.broadcasts.telegram_breaker import THRESHOLD

if TYPE_CHECKING:
    from telegram import Bot

log = structlog.get_logger(__name__)

CANARY_SECONDS = 2.0
"""Until it is looked again whether the canary is done."""

STARTING_SECONDS_MAX = 8.0
"""After that nobody else is begun: who is left is given back."""

HANGING_AFTER_SECONDS = 1.5
"""After everybody was begun with: who has no answer by then is not waited for by the others."""

WAITING_SECONDS_MIN = 1.0
"""For which recipients are left waiting for their chats, at least."""

NOTES_SECONDS = 0.02
"""Between two notes of results. Commands wait for Redis's disk during each. What was not noted when the process dies is
unknown.
"""

REST_SECONDS = 5.0
WITHOUT_REDIS_SECONDS = 0.3
NOTING_FAILURES_MAX = 200
"""A minute without Redis. The results are in the process still, and go to the table."""


def take_chunk(home: Broadcaster, job: SendChunk, job_id: str) -> Chunk | None:
    """None where the job's lane ends here. Raises Snoozed where it goes on later, BroadcastRefused, DatabaseAway."""
    if home.is_shed():
        raise Snoozed(SATURATED_SECONDS)
    broadcast = broadcasts.require_progress(home.engine, job.broadcast_id)
    if broadcast.by_program:
        raise BroadcastRefused(f"broadcast {broadcast.id} is sent by a program of its own")
    trouble_seconds = home.trouble.wait_seconds()
    rests = broadcast.status is BroadcastStatus.SENDING and home.orders.rests(broadcast)
    limit = broadcast.canary if job.number == 0 else home.chunk_size(broadcast)
    if broadcast.canary_until is not None:
        limit = home.chunk_size(broadcast)  # the table hands out nobody behind the canary
    if rests or trouble_seconds:
        limit = 0
    elif trouble_seconds is not None:
        limit = 1
    for due in home.waiting.take_due(broadcast.id):
        _settle(home, broadcast.id, due)
    holder = new_holder()
    number, before = home.record.begin(job_id, holder)
    lease = leases.lease(home.engine, broadcast.id, number, run=job.run, limit=limit)
    if lease.recipients:
        return Chunk(home, broadcast, job, lease, holder, before, rests=rests)
    home.record.forget(number, holder)
    if lease.status is not BroadcastStatus.SENDING or rests or job.run not in {lease.run, None}:
        if broadcast.card_message_id is not None:
            home.lanes.show_card(broadcast.id)  # whoever ended it may have died before it could say so
        return None
    if trouble_seconds:
        raise Snoozed(trouble_seconds)
    if lease.expired:
        for each in lease.expired:
            _settle(home, broadcast.id, each)
        raise Snoozed(0)
    waiting_seconds = home.waiting.next_seconds(broadcast.id)
    if waiting_seconds is not None:  # that nothing is heard of it until then says nothing
        home.lanes.schedule.rest(broadcast.id, waiting_seconds + SILENCE_SECONDS_MAX)
        raise Snoozed(waiting_seconds)
    if broadcast.canary_until is not None:
        raise Snoozed(
            CANARY_SECONDS
        )  # its last ones are in somebody's hands, and the lanes do not follow before
    return None  # the rest is with other lanes


def _settle(home: Broadcaster, broadcast_id: int, number: int) -> None:
    """A lease whose sender and job are both gone, or whose recipients waited for their chats: what is known of it is
    recorded, the rest given back.
    """
    holder = new_holder()
    before = home.record.take_over(number, holder)
    lease = leases.lease(home.engine, broadcast_id, number, run=None, limit=0)
    if before is not None and not home.record.holds(number, holder):
        return  # whoever took it over may have sent since, and settles it
    known = settled(lease, before)
    results = [
        known.get(each.user_id, Result(each.user_id, DeliveryStatus.PENDING)) for each in lease.recipients
    ]
    recorded = leases.record(home.engine, broadcast_id, lease, results).recorded
    if recorded:
        home.record.count(results)
    if recorded == len(
        results
    ):  # otherwise the lease is another's by now, and so is what the record says of it
        home.record.forget(number, holder)
    log.info("broadcast_lease_settled", broadcast_id=broadcast_id, recipients=recorded)


@dataclass(frozen=True, slots=True)
class Begun:
    """Whom a send may be started for now.

    user_ids -- their intents are written.
    wait_seconds -- after how long to ask for others.
    trial -- Telegram is in trouble, and this one recipient is to tell whether it still is.
    refused -- user ids whose chats Telegram wants nothing for, and for how many seconds still.
    """

    user_ids: frozenset[int] = frozenset()
    wait_seconds: float = 0.0
    trial: bool = False
    refused: Mapping[int, float] = field(default_factory=dict)


class Chunk:
    """One job's turn. Made in the task, with people leased; run once, on the reply sender's loop."""

    def __init__(
        self,
        broadcaster: Broadcaster,
        broadcast: Progress,
        job: SendChunk,
        lease: Lease,
        holder: str,
        before: dict[int, Result],
        *,
        rests: bool,
    ) -> None:
        """before -- what the record says of those whom holders before began with.
        rests -- it is in its quiet hours: who was not begun with is given back, and the lane ends.
        """
        self._home = broadcaster
        self._broadcast = broadcast
        self._job = job
        self._lease = lease
        self._holder = holder
        self._rests = rests
        self._results = settled(lease, before)
        self._unsent = deque(self._to_send())
        self._sends: set[asyncio.Task[None]] = set()
        self._recorded: set[int] = set()
        self._waiting: dict[int, float] = {}
        """By user id: for how many seconds Telegram wants nothing for their chat."""
        self._accepted = 0
        self._to_note: dict[int, Result] = {}
        self._noting: asyncio.Task[None] | None = None
        self._answered = False
        self._put_off_seconds = 0.0
        self._rest_seconds = 0.0
        self._paced_seconds = 0.0
        self._bad_payload: str | None = None
        self._superseded = False

    def _to_send(self) -> list[Recipient]:
        """Whom nobody was begun with yet. Where the broadcast was stopped meanwhile or rests, nobody."""
        if self._lease.status is not BroadcastStatus.SENDING or self._rests:
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
        """Send, record, and see to the follower. Raises Snoozed where this job itself is to go on later."""
        followed = False
        try:
            await self._begin_all(bot)
        finally:
            self._home.starting.release()
        if self._job.number > 0 and not self._unsent and not self._rests and self._may_go_on():
            followed = await self._follow_early()
        await self._until_ended()
        if self._put_off_seconds and not self._answered:
            self._rest_seconds = max(self._rest_seconds, REST_SECONDS, self._put_off_seconds)
        recorded = await self._record_all()
        if recorded.status is BroadcastStatus.SENDING and not followed and not self._rests:
            if not self._may_go_on():
                if self._paced_seconds:  # everybody waits: that nothing is heard of it says nothing
                    until = self._paced_seconds + SILENCE_SECONDS_MAX
                    await asyncio.to_thread(self._home.lanes.schedule.rest, self._broadcast.id, until)
                raise Snoozed(self._rest_seconds)
            if self._broadcast.canary_until is not None and await asyncio.to_thread(self._is_canary_out):
                raise Snoozed(0)  # the rest of the canary is this job's too
            await asyncio.to_thread(self._home.lanes.follow, self._job)
        return []

    def _tell_of_canary(self) -> None:
        halted = broadcasts.require_progress(self._home.engine, self._broadcast.id)
        if halted.halted_reason is not None:
            self._home.lanes.tell_of_halt(halted.id, self._lease.run, halted.halted_reason)

    def _is_canary_out(self) -> bool:
        """Whether nobody but a canary by rule is sent to yet."""
        now = broadcasts.require_progress(self._home.engine, self._broadcast.id)
        return now.canary_until is not None

    def _may_go_on(self) -> bool:
        return not (
            self._bad_payload or self._rest_seconds or self._superseded or self._home.closing.is_set()
        )

    async def _follow_early(self) -> bool:
        """Whether the follower is on record: it need not wait for those whose answer hangs, where not all do."""
        if self._sends:
            await asyncio.wait(
                self._sends, timeout=HANGING_AFTER_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
        if not self._answered or not self._may_go_on():
            return False
        try:
            await asyncio.to_thread(self._home.lanes.follow, self._job)
        except (redis.RedisError, Snoozed):
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
            begun = Begun()
            try:
                begun = await asyncio.to_thread(self._granted, room)
            except redis.RedisError as error:
                # Without Redis nobody is begun: there would be no intent to find.
                log.warning("broadcast_without_redis", error=type(error).__name__)
                begun = Begun(wait_seconds=WITHOUT_REDIS_SECONDS)
            finally:
                for _ in range(room - len(begun.user_ids)):
                    self._home.sends.release()
            for recipient in [each for each in self._unsent if each.user_id in begun.refused]:
                self._unsent.remove(recipient)
                self._waiting[recipient.user_id] = begun.refused[recipient.user_id]
            for recipient in [each for each in self._unsent if each.user_id in begun.user_ids]:
                self._unsent.remove(recipient)
                self._sends.add(asyncio.create_task(self._send(bot, recipient, trial=begun.trial)))
            if begun.trial and begun.user_ids:
                await asyncio.wait(self._sends)
            if begun.wait_seconds > left:
                self._rest_seconds = self._paced_seconds = begun.wait_seconds
            elif self._unsent and begun.wait_seconds > 0:
                await asyncio.sleep(begun.wait_seconds)

    async def _room(self, wanted: int) -> int:
        """How many of the process's sends this chunk may begin now; waits for one at least."""
        await self._home.sends.acquire()
        room = 1
        while room < wanted and not self._home.sends.locked():
            await self._home.sends.acquire()
            room += 1
        return room

    def _granted(self, room: int) -> Begun:
        trouble_seconds = self._home.trouble.wait_seconds()
        if trouble_seconds:
            self._rest_seconds = trouble_seconds
            return Begun()
        trial = trouble_seconds is not None
        asked = {each.telegram_id: each.user_id for each in list(self._unsent)[: 1 if trial else room]}
        grant = self._home.rate_limiter.bulk(
            list(asked),
            paid=self._broadcast.paid,
            pieces=self._broadcast.pieces,
            log=self._home.record.intents(self._lease.number, self._holder, asked),
        )
        if grant.superseded:
            self._superseded = True
            return Begun()
        begun = frozenset(asked[chat_id] for chat_id in grant.granted)
        refused = {asked[chat_id]: seconds for chat_id, seconds in grant.refused.items()}
        if begun and trial and not self._home.trouble.try_one():  # another was quicker, or it is over
            unsent = {user_id: Result(user_id, DeliveryStatus.PENDING) for user_id in begun}
            self._home.record.note(self._lease.number, self._holder, unsent)
            return Begun(wait_seconds=grant.retry_after_seconds, refused=refused)
        return Begun(begun, grant.retry_after_seconds, trial, refused)

    async def _send(self, bot: Bot, recipient: Recipient, *, trial: bool) -> None:
        try:
            variant = variant_of(self._broadcast.id, recipient.user_id)
            payload = payload_of(self._broadcast.payload, variant)
            posted = await post(bot, payload, recipient, paid=self._broadcast.paid)
        finally:
            self._home.sends.release()
        if posted.flood:
            self._waiting[recipient.user_id] = posted.wait_seconds
        else:
            self._results[recipient.user_id] = posted.result
        self._to_note[recipient.user_id] = posted.result
        if self._noting is None or self._noting.done():
            self._noting = asyncio.create_task(self._note())
        await self._heed(posted, recipient, trial=trial)

    async def _heed(self, posted: SendOutcome, recipient: Recipient, *, trial: bool) -> None:
        if posted.bad_payload is not None and self._bad_payload is None:
            self._bad_payload = posted.bad_payload
        if posted.flood:
            pause = await refuse_chat(self._home.rate_limiter, recipient.telegram_id, posted.wait_seconds)
            self._paced_seconds = max(self._paced_seconds, pause)
            self._rest_seconds = max(self._rest_seconds, pause)
        self._home.troubles_in_a_row = self._home.troubles_in_a_row + 1 if posted.troubled else 0
        self._answered = self._answered or not posted.troubled
        if posted.troubled:
            self._put_off_seconds = max(self._put_off_seconds, posted.wait_seconds)
        enough = self._home.troubles_in_a_row >= THRESHOLD
        if enough:
            self._home.troubles_in_a_row = 0
            self._rest_seconds = max(self._rest_seconds, REST_SECONDS, posted.wait_seconds)
        with contextlib.suppress(redis.RedisError):  # without Redis nobody begins a send anyway
            if trial:
                trouble = self._home.trouble
                await asyncio.to_thread(trouble.go_on if posted.troubled else trouble.end)
            elif enough:
                await asyncio.to_thread(self._home.trouble.begin)

    async def _note(self) -> None:
        """Bring the results of ended sends to Redis, as many at a time as have come together."""
        failures = 0
        while self._to_note and failures < NOTING_FAILURES_MAX:
            noted, self._to_note = self._to_note, {}
            try:
                await asyncio.to_thread(self._home.record.note, self._lease.number, self._holder, noted)
            except redis.RedisError as error:
                log.warning("broadcast_without_redis", error=type(error).__name__)
                failures += 1
                self._to_note = {**noted, **self._to_note}
                await asyncio.sleep(WITHOUT_REDIS_SECONDS)
            else:
                await asyncio.sleep(NOTES_SECONDS)

    async def _until_ended(self) -> None:
        """Wait for all sends. Should some of them hang, what became of the others is brought to the table meanwhile."""
        if not self._sends:
            return
        _, hanging = await asyncio.wait(self._sends, timeout=HANGING_AFTER_SECONDS)
        if hanging and self._results:
            with contextlib.suppress(DatabaseAway):  # it is tried again at the end
                await self._record(list(self._results.values()))
        await asyncio.gather(*self._sends)

    async def _record_all(self) -> Recorded:
        """Bring what is not there yet to the table, and give back whom nobody was begun with.

        Also where another took the record over: the table takes it only as long as the lease is still this one.
        Where the database is unavailable the results are in Redis, and the job comes back to them.
        """
        known = [
            self._results.get(each.user_id, Result(each.user_id, DeliveryStatus.PENDING))
            for each in self._lease.recipients
            if each.user_id not in self._waiting
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
        if self._waiting:
            await self._leave_waiting()
        elif self._accepted == len(self._lease.recipients):
            # Otherwise the lease is another's by now, who needs the record to know whom this one sent to.
            await asyncio.to_thread(self._home.record.forget, self._lease.number, self._holder)
        return recorded

    async def _leave_waiting(self) -> None:
        """Who waits for their chat stays leased until the first of these chats may be sent to."""
        if self._noting is not None:
            await self._noting  # an intent that stayed would make them unknown
        seconds = max(WAITING_SECONDS_MIN, min(self._waiting.values()))
        if not await asyncio.to_thread(self._home.record.holds, self._lease.number, self._holder):
            return
        await asyncio.to_thread(self._home.waiting.add, self._broadcast.id, self._lease.number, seconds)
        await asyncio.to_thread(
            leases.lease,
            self._home.engine,
            self._broadcast.id,
            self._lease.number,
            run=None,
            limit=0,
            seconds=seconds,
        )
        log.info(
            "recipients_wait", broadcast_id=self._broadcast.id, count=len(self._waiting), seconds=seconds
        )

    async def _record(self, results: list[Result]) -> Recorded:
        recorded = await asyncio.to_thread(
            leases.record,
            self._home.engine,
            self._broadcast.id,
            self._lease,
            results,
            halt=self._bad_payload,
        )
        self._recorded.update(result.user_id for result in results)
        self._accepted += recorded.recorded
        if recorded.recorded:  # all of them, or none
            await asyncio.to_thread(self._home.record.count, results)
        if self._bad_payload is not None:
            log.error("broadcast_halted", broadcast_id=self._broadcast.id, reason=self._bad_payload)
            await asyncio.to_thread(
                self._home.lanes.tell_of_halt, self._broadcast.id, self._lease.run, self._bad_payload
            )
        elif recorded.status is BroadcastStatus.HALTED and self._broadcast.canary_until is not None:
            await asyncio.to_thread(self._tell_of_canary)
        if recorded.has_card:
            over = recorded.status is not BroadcastStatus.SENDING
            await asyncio.to_thread(self._home.lanes.show_card, self._broadcast.id, at_once=over)
        return recorded


def new_holder() -> str:
    return uuid.uuid4().hex


def settled(lease: Lease, before: dict[int, Result] | None) -> dict[int, Result]:
    """What is known of a lease that a sender before held. Who is not in it was not begun with.

    before -- what the record says; None where there is none.
    """
    if not lease.again:
        return {}
    if before is None:
        lost = "the record of the sender is lost"
        return {
            each.user_id: Result(each.user_id, DeliveryStatus.UNKNOWN, error=lost)
            for each in lease.recipients
        }
    return {each.user_id: before[each.user_id] for each in lease.recipients if each.user_id in before}
