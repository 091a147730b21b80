"""What a chunk's job finds to do: people to send to, a dead sender's lease to settle, or a reason to wait or to end."""

from __future__ import annotations

import structlog

from ballast.broadcasts.lanes import SILENCE_SECONDS_MAX
from ballast.builtin.broadcasts import SendChunk
from ballast.snooze import Snoozed
from dbcore.breaker.store import SATURATED_SECONDS
from dbcore.broadcasts import broadcasts, leases
from dbcore.broadcasts.broadcasts import BroadcastRefused, BroadcastStatus
from dbcore.broadcasts.leases import DeliveryStatus, Result
from workers.broadcasts.broadcaster import Broadcaster
from workers.broadcasts.chunk import Chunk, new_holder, settled

CANARY_SECONDS = 2.0

log = structlog.get_logger(__name__)


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
