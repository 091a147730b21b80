"""Tasks that draw up, start, send, stop and resume broadcasts, show them, and note who wants them. `start`, `pause`,
`resume` and `cancel` are operators' too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog

from ballast.broadcasts import card
from ballast.broadcasts.albums import Albums
from ballast.broadcasts.lanes import SILENCE_SECONDS_MAX
from ballast.builtin.broadcasts import (
    BroadcastJob,
    CancelBroadcast,
    ChangeDraft,
    ChooseBroadcasts,
    DraftBroadcast,
    EraseChunk,
    ListBroadcasts,
    PauseBroadcast,
    PressBroadcast,
    ReportBroadcast,
    ResendUnknown,
    ResumeBroadcast,
    SendChunk,
    ShowCard,
    StartBroadcast,
    TryBroadcast,
    WakeBroadcast,
)
from ballast.jobs import Discard, Job
from ballast.messages import Message
from ballast.texts import said
from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import BroadcastRefused
from dbcore.errors import DatabaseAway
from dbcore.failures import FailureKind
from dbcore.ledger import users
from workers import texts
from workers.broadcasts import deletion, drafts
from workers.broadcasts.card_updates import show
from workers.broadcasts.report import report
from workers.broadcasts.sender import take_chunk
from workers.broadcasts.trials import trial
from workers.celery import Task, upkeep
from workers.task_context import AsyncStep, TaskContext
from workers.tasks.job_task import job_task

log = structlog.get_logger(__name__)

J = TypeVar("J", bound=Job)
B = TypeVar("B", bound=BroadcastJob)
T = TypeVar("T")

LISTED_MAX = 10


@job_task(ChooseBroadcasts)
def choose_broadcasts(task: TaskContext[ChooseBroadcasts]) -> list[Message]:
    account = users.choose_broadcasts(task.engine, profile=task.job.profile, wanted=task.job.wanted)
    task.note_account(account)
    return task.answer(texts.broadcasts_wanted() if task.job.wanted else texts.broadcasts_stopped())


@job_task(StartBroadcast)
def start(task: TaskContext[StartBroadcast]) -> list[Message]:
    broadcast = _obeyed(lambda: task.worker.broadcaster.orders.start(task.job, task.job_id))
    log.info(
        "broadcast_started", broadcast_id=broadcast.id, status=broadcast.status, audience=broadcast.audience
    )
    return []


@job_task(SendChunk)
def send_chunk(task: TaskContext[SendChunk]) -> list[Message] | AsyncStep:
    """Lease the next few people, and leave sending to them to the reply sender's loop."""
    home = task.worker.broadcaster
    home.starting.acquire()
    handed_over = False
    try:
        chunk = _obeyed(lambda: take_chunk(home, task.job, task.job_id))
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
def wake(task: TaskContext[WakeBroadcast]) -> list[Message]:
    _obeyed(lambda: task.worker.broadcaster.orders.wake(task.job.broadcast_id))
    return []


@job_task(PauseBroadcast)
def pause(task: TaskContext[PauseBroadcast]) -> list[Message]:
    return _ordered(task, task.worker.broadcaster.orders.pause)


@job_task(ResumeBroadcast)
def resume(task: TaskContext[ResumeBroadcast]) -> list[Message]:
    return _ordered(task, task.worker.broadcaster.orders.resume)


@job_task(CancelBroadcast)
def cancel(task: TaskContext[CancelBroadcast]) -> list[Message]:
    return _ordered(task, task.worker.broadcaster.orders.cancel)


@job_task(ResendUnknown)
def resend_unknown(task: TaskContext[ResendUnknown]) -> list[Message]:
    orders = task.worker.broadcaster.orders
    return _ordered(task, lambda broadcast_id: orders.resend_unknown(broadcast_id, task.job_id))


@job_task(TryBroadcast)
def try_out(task: TaskContext[TryBroadcast]) -> AsyncStep:
    return _obeyed(lambda: trial(task.worker.broadcaster, task.job, task.job_id)).run


@job_task(DraftBroadcast)
def draft(task: TaskContext[DraftBroadcast]) -> list[Message] | AsyncStep:
    albums = Albums(task.worker.redis)
    return _answered(
        task,
        lambda: (
            drafts.draft(task.worker.broadcaster, albums, task.job, task.job_id, uncertain=task.uncertain).run
        ),
    )


@job_task(ChangeDraft)
def change(task: TaskContext[ChangeDraft]) -> list[Message] | AsyncStep:
    return _answered(task, lambda: drafts.change(task.worker.broadcaster, task.job))


@job_task(PressBroadcast)
def press(task: TaskContext[PressBroadcast]) -> list[Message] | AsyncStep:
    return _answered(
        task, lambda: drafts.press(task.worker.broadcaster, task.job, task.job_id, task.message_id)
    )


@job_task(ShowCard)
def show_card(task: TaskContext[ShowCard]) -> list[Message] | AsyncStep:
    showing = _obeyed(lambda: show(task.worker.broadcaster, task.job, task.settings))
    return [] if showing is None else showing.run


@job_task(ListBroadcasts)
def list_newest(task: TaskContext[ListBroadcasts]) -> list[Message]:
    newest = broadcasts.list_recent(task.engine, LISTED_MAX)
    return task.answer(card.list_text(newest), card.list_buttons(newest))


@job_task(ReportBroadcast)
def send_report(task: TaskContext[ReportBroadcast]) -> AsyncStep:
    return _obeyed(lambda: report(task.worker.broadcaster, task.job, task.job_id)).run


@job_task(EraseChunk)
def erase(task: TaskContext[EraseChunk]) -> AsyncStep:
    return deletion.take_chunk(task.worker.broadcaster, task.job, task.job_id).run


@upkeep("workers.broadcasts.watch")
def watch(task: Task) -> None:
    """Wake the broadcasts whose time has come. Asks Redis alone, so an idle database stays asleep; but where Redis lost
    its data.
    """
    home = task.context.broadcaster
    if home.database_is_shut():
        return
    if not home.lanes.schedule.is_complete():
        log.warning("agenda_made_anew")
        home.orders.recall()
    for broadcast_id, due in home.lanes.schedule.take_due(SILENCE_SECONDS_MAX):
        home.lanes.wake(broadcast_id, due)


def _ordered(task: TaskContext[B], order: Callable[[int], object]) -> list[Message]:
    _obeyed(lambda: order(task.job.broadcast_id))
    return []


def _answered(task: TaskContext[J], order: Callable[[], AsyncStep | None]) -> list[Message] | AsyncStep:
    """A refusal is the admin's to read."""
    try:
        return order() or []
    except BroadcastRefused as refused:
        why = said(refused)
        return task.toast(f"{why[:1].upper()}{why[1:]}.", matters=True)


def _obeyed(order: Callable[[], T]) -> T:
    """A refusal ends the job with a dead letter, which says why."""
    try:
        return order()
    except BroadcastRefused as refused:
        raise Discard(str(refused)) from refused
