"""Tasks that start, send, stop and resume broadcasts. `start`, `pause`, `resume` and `cancel` are operators' too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog

from dbcore import broadcast_leases, broadcasts
from dbcore.broadcast_leases import DeliveryStatus, Result
from dbcore.broadcasts import BroadcastRefused, BroadcastStatus
from dbcore.errors import DatabaseAway
from dbcore.failures import FailureKind
from workers import process
from workers.broadcasts.broadcaster import SHED_SECONDS, Broadcaster
from workers.broadcasts.chunk import Chunk, new_holder, settled
from workers.broadcasts.lanes import SILENCE_SECONDS_MAX
from workers.broadcasts.record import lease_number
from workers.celery import app
from workers.execution import Errand, JobFailed, Work
from workers.jobs import (
    BroadcastJob,
    CancelBroadcast,
    PauseBroadcast,
    ResendUnknown,
    ResumeBroadcast,
    SendChunk,
    StartBroadcast,
    WakeBroadcast,
)
from workers.messages import Message
from workers.not_now import NotNow
from workers.tasks.job_task import job_task

log = structlog.get_logger(__name__)

J = TypeVar("J", bound=BroadcastJob)
T = TypeVar("T")


@job_task(StartBroadcast)
def start(work: Work[StartBroadcast]) -> list[Message]:
    broadcast = _obeyed(lambda: _broadcaster().orders.start(work.job, work.job_id))
    log.info(
        "broadcast_started", broadcast_id=broadcast.id, status=broadcast.status, audience=broadcast.audience
    )
    return []


@job_task(SendChunk)
def send_chunk(work: Work[SendChunk]) -> list[Message] | Errand:
    """Lease the next few people, and leave sending to them to the courier's loop."""
    home = _broadcaster()
    home.starting.acquire()
    handed_over = False
    try:
        chunk = _chunk(home, work.job, work.job_id)
        handed_over = chunk is not None
    except DatabaseAway as away:
        if away.kind is FailureKind.SATURATION:
            home.shed()
        raise
    finally:
        if not handed_over:
            home.starting.release()
    return [] if chunk is None else chunk.run


@job_task(WakeBroadcast)
def wake(work: Work[WakeBroadcast]) -> list[Message]:
    _obeyed(lambda: _broadcaster().orders.wake(work.job.broadcast_id))
    return []


@job_task(PauseBroadcast)
def pause(work: Work[PauseBroadcast]) -> list[Message]:
    return _ordered(work, _broadcaster().orders.pause)


@job_task(ResumeBroadcast)
def resume(work: Work[ResumeBroadcast]) -> list[Message]:
    return _ordered(work, _broadcaster().orders.resume)


@job_task(CancelBroadcast)
def cancel(work: Work[CancelBroadcast]) -> list[Message]:
    return _ordered(work, _broadcaster().orders.cancel)


@job_task(ResendUnknown)
def resend_unknown(work: Work[ResendUnknown]) -> list[Message]:
    return _ordered(work, _broadcaster().orders.resend_unknown)


@app.task(name="workers.broadcasts.watch")
def watch() -> None:
    """Wake the broadcasts whose time has come. Asks Redis alone, so an idle database stays asleep."""
    home = _broadcaster()
    if home.database_is_shut():
        return
    for broadcast_id, due in home.lanes.agenda.take_due(SILENCE_SECONDS_MAX):
        home.lanes.wake(broadcast_id, due)


def _broadcaster() -> Broadcaster:
    return process.current().broadcaster


def _ordered(work: Work[J], order: Callable[[int], object]) -> list[Message]:
    _obeyed(lambda: order(work.job.broadcast_id))
    return []


def _obeyed(order: Callable[[], T]) -> T:
    """A refusal ends the job with a dead letter, which says why."""
    try:
        return order()
    except BroadcastRefused as refused:
        raise JobFailed(str(refused)) from refused


def _chunk(home: Broadcaster, job: SendChunk, job_id: str) -> Chunk | None:
    """What this job has to send or to settle; None where its lane ends here. Raises NotNow where it goes on later."""
    broadcast = broadcasts.progress(home.engine, job.broadcast_id)
    if broadcast is None:
        raise JobFailed(f"there is no broadcast {job.broadcast_id}")
    shed = home.is_shed()
    rests = broadcast.status is BroadcastStatus.SENDING and home.orders.rests(broadcast)
    limit = broadcast.canary if job.number == 0 else home.chunk_size(broadcast)
    number, holder = lease_number(job_id), new_holder()
    before = home.record.take(number, holder)
    lease = broadcast_leases.lease(
        home.engine, broadcast.id, number, run=job.run, limit=0 if shed or rests else limit
    )
    if lease.recipients:
        return Chunk(home, broadcast, job, lease, holder, before)
    home.record.forget(number, holder)
    if lease.status is not BroadcastStatus.SENDING or rests or job.run not in {lease.run, None}:
        return None
    if shed:
        raise NotNow(SHED_SECONDS)
    if lease.expired:
        for each in lease.expired:
            _settle(home, broadcast.id, each)
        raise NotNow(0)
    return None  # the rest is with other lanes


def _settle(home: Broadcaster, broadcast_id: int, number: int) -> None:
    """A lease whose sender and job are both gone: what is known of it is recorded, the rest given back."""
    holder = new_holder()
    before = home.record.take(number, holder)
    lease = broadcast_leases.lease(home.engine, broadcast_id, number, run=None, limit=0)
    known = settled(lease, before)
    results = [
        known.get(each.user_id, Result(each.user_id, DeliveryStatus.PENDING)) for each in lease.recipients
    ]
    broadcast_leases.record(home.engine, broadcast_id, lease, results)
    home.record.forget(number, holder)
    log.warning("broadcast_lease_settled", broadcast_id=broadcast_id, recipients=len(results))
