"""Tasks that start, send, stop and resume broadcasts. `start`, `pause`, `resume` and `cancel` are operators' too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog

from dbcore.broadcasts import BroadcastRefused
from dbcore.errors import DatabaseAway
from dbcore.failures import FailureKind
from workers import process
from workers.broadcasts.broadcaster import Broadcaster
from workers.broadcasts.lanes import SILENCE_SECONDS_MAX
from workers.broadcasts.leasing import take_chunk
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
        chunk = _obeyed(lambda: take_chunk(home, work.job, work.job_id))
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
