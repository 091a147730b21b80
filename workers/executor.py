"""How a task executes a job: claim, one call into dbcore, answer (replies.py), finish. Then it goes on with what waits
in the same queue, a round after the other (draining.py): each round claims its jobs in one step.

Every way out is written on the inbox record, so whatever dies in between, another process goes on from there:

    claimed ── done ──▶ answer under way ──▶ finished
       │                      └─ Telegram away ──▶ the answer waits on the record, queue `replies`
       ├─ a step is left ────▶ under way on the reply sender's loop, while the task's slot is free again ──▶ done
       ├─ database away ──▶ given back, due again once the breaker lets calls through
       ├─ too slow, and the database is not ──▶ given back, due again later each time; that counts as a try
       ├─ not now ──▶ given back, due again after a while
       ├─ raised, and an app gives it more attempts ──▶ given back, due again later each time
       └─ cannot succeed ──▶ recorded in failed_operations, its user told with a reference, finished
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from celery.exceptions import SoftTimeLimitExceeded

from ballast.inbox import CarriedClaim, Claim, Claims, DirectJob
from ballast.jobs import Discard, Job, task_name
from ballast.messages import Message
from ballast.queueing.envelope import Envelope, is_quick, is_short
from ballast.queueing.queues import DATABASE_QUEUES
from ballast.texts import speaking
from dbcore.errors import DatabaseAway
from dbcore.failures import FailureKind
from workers import handlers
from workers.context import WorkerContext
from workers.draining import DRAINED_QUEUES, HELD_SECONDS_MAX, SPLIT_SECONDS_MAX, Turn
from workers.failures import record_failure
from workers.giving_back import (
    DELIVERIES_MAX,
    give_back,
    give_back_unavailable,
    hand_back,
    is_slow_itself,
    is_too_late,
    lets_calls_through,
)
from workers.handlers import Handler
from workers.operator_jobs import on_record
from workers.replies import JobReply, deliver
from workers.task_context import AsyncStep, TaskContext

if TYPE_CHECKING:
    from telegram import Bot

log = structlog.get_logger(__name__)

J = TypeVar("J", bound=Job)


def execute(
    worker: WorkerContext,
    job_type: type[J],
    apply: Callable[[TaskContext[J]], list[Message] | AsyncStep],
    task_id: str,
    queue: str,
    arguments: dict[str, Any],
    carried: CarriedClaim | None = None,
) -> None:
    """Execute the job that a Celery message stands for.

    queue -- the one that the message came by.
    arguments -- `{"job_id": …, "place": …}` from the inbox, or the job's own fields from an operator. The latter are
    taken on record first and are a job like any other from there on; with an `idempotency_key` among them, any
    number of calls with the same key are one job.
    carried -- the claim that the message bears.
    Raises EnqueueFailed where an operator's job could not be taken on record now.
    """
    job_id, refused = on_record(worker, job_type, task_id, arguments)
    if worker.direct_jobs is not None and not is_quick(job_type.kind):
        worker.direct_jobs.withdraw()
    handler = Handler(job_type, apply)
    _go_on_from(worker, queue, job_id, str(arguments.get("place", "")), handler, carried)
    if refused is not None:
        raise Discard(refused)


def execute_direct(worker: WorkerContext, job: DirectJob) -> bool:
    """Execute a job that this process was handed without a message. False if it is left to others: this process does
    not know its kind, or it may take long.
    """
    handler = handlers.find(job.kind)
    if handler is None or not is_quick(job.kind):
        return False
    _go_on_from(worker, job.queue, job.job_id, job.sequence, handler, job.carried)
    return True


def _go_on_from(
    worker: WorkerContext,
    queue: str,
    job_id: str,
    sequence: str,
    handler: Handler,
    carried: CarriedClaim | None,
) -> None:
    """Do this job and what waits behind it in its queue, round by round."""
    turn = Turn()
    left = _round(worker, queue, turn, job_id, sequence, handler, carried)
    while left and not turn.is_over() and _may_go_on(worker, queue):
        left = _round(worker, queue, turn)
    if queue in DATABASE_QUEUES:
        worker.ask_for_events()


def _round(
    worker: WorkerContext,
    queue: str,
    turn: Turn,
    job_id: str = "",
    sequence: str = "",
    handler: Handler | None = None,
    carried: CarriedClaim | None = None,
) -> int:
    """Claim jobs in one step, and do them one after the other. Returns how many messages are left, 0 if it is not to go
    on.

    job_id, sequence, carried -- of the message that Celery handed out; none for a round that follows.
    handler -- what does that job.
    """
    is_brief = handler is None or is_short(handler.job_type.kind)
    if handler is None or is_brief:
        more, tasks = worker.round_size.jobs - bool(job_id), handlers.tasks_of(queue)
    else:  # nothing else waits behind it
        more, tasks = handlers.batch_of(handler.job_type.kind) - 1, [task_name(handler.job_type.kind)]
    with worker.in_flight.claiming():
        if job_id:  # before the claim, or the heartbeat might give back what was just claimed
            worker.in_flight.take(job_id, handler.job_type.kind if handler else "")
        try:
            taken = worker.inbox.take_over(job_id, sequence=sequence, carried=carried)
            if taken is not None:
                found = Claims((taken,), left=0)  # its queue was empty
            else:
                found = worker.inbox.claim_many(
                    worker.owner,
                    job_id=job_id,
                    queue=queue,
                    sequence=sequence,
                    more=more if _may_go_on(worker, queue) else 0,
                    tasks=tasks,
                )
        except BaseException:
            if job_id:
                worker.in_flight.drop(job_id)
            raise
        waiting = deque(found.claims)
        for claim in waiting:
            if claim.envelope.job_id != job_id:
                worker.in_flight.take(claim.envelope.job_id, claim.envelope.kind)
    if job_id and not (waiting and waiting[0].envelope.job_id == job_id):
        worker.in_flight.drop(job_id)
        log.info("copy_dropped", job_id=job_id)
    began = time.monotonic()
    until = began + (HELD_SECONDS_MAX if is_brief else SPLIT_SECONDS_MAX)
    is_batch = not is_brief and len(waiting) > 1
    try:
        if _do_together(worker, waiting, until):
            worker.round_size.reset()
            return 0
        while waiting:
            if is_batch and time.monotonic() > until:
                # They count as begun, so each is done by itself from now on, with all of a handler's time.
                hand_back(worker, _taken_from(waiting), count_delivery=True)
                return 0
            claim = waiting.popleft()
            is_handed = claim.envelope.job_id == job_id
            met = _do(worker, handler if is_handed else None, claim)
            if met is not None:
                worker.round_size.reset()
                break
            if not is_batch and time.monotonic() > until:
                break
        else:
            turn.note(len(found.claims))
            worker.round_size.note(len(found.claims), time.monotonic() - began)
            return found.left if job_id or found.claims else 0
        return 0
    finally:
        hand_back(worker, waiting)


def _do(worker: WorkerContext, handler: Handler | None, claim: Claim) -> DatabaseAway | None:
    """Do one job that is in hand. Returns what it met of an unavailable database, for which it was given back.

    handler -- the one of its kind if not given.
    """
    answering = False
    with _as_job(worker, claim):
        try:
            log.debug("claimed", kind=claim.envelope.kind)
            outcome = _outcome_of(worker, handler, claim)
            if isinstance(outcome, JobReply):
                worker.reply_sender.submit(lambda bot: deliver(bot, worker, claim, outcome))
                answering = True
            elif outcome is not None and not isinstance(outcome, DatabaseAway):
                worker.reply_sender.submit(lambda bot: _run_step(bot, worker, claim, outcome))
                answering = True
            return outcome if isinstance(outcome, DatabaseAway) else None
        finally:
            if not answering:
                worker.in_flight.drop(claim.envelope.job_id)


def _outcome_of(
    worker: WorkerContext, handler: Handler | None, claim: Claim
) -> JobReply | AsyncStep | DatabaseAway | None:
    """Do what the record says is next. Where the job was given back instead: what it met of an unavailable database, or
    None.
    """
    envelope = claim.envelope
    failure = claim.failure
    try:
        if failure is None and claim.deliveries > DELIVERIES_MAX:
            failure = f"parked after {DELIVERIES_MAX} deliveries that never finished"
        if failure is not None:
            return JobReply(record_failure(worker, envelope, failure))
        if claim.reply is not None:
            return JobReply.kept(claim.reply)
        if is_too_late(claim):
            failure = f"not done by its deadline: queued {claim.waited_ms / 1000:.0f} seconds ago"
            return JobReply(record_failure(worker, envelope, failure))
        handler = handler or handlers.handler_of(envelope.kind)
        task = _task_context(worker, handler, claim)
        result: list[Message] | AsyncStep = handler.apply(task)
        return JobReply(result, tuple(task.balances)) if isinstance(result, list) else result
    except Exception as error:  # noqa: BLE001  the edge of a job, logged there
        give_back(worker, claim, error, failure)
        return error if isinstance(error, DatabaseAway) else None


async def _run_step(bot: Bot | None, worker: WorkerContext, claim: Claim, step: AsyncStep) -> None:
    try:
        messages = await step(bot)
    except Exception as error:  # noqa: BLE001  the edge of a job, logged there
        try:
            await asyncio.to_thread(give_back, worker, claim, error, None)
        finally:
            worker.in_flight.drop(claim.envelope.job_id)
    except BaseException:  # the process ends: what it holds is given back by its farewell
        worker.in_flight.drop(claim.envelope.job_id)
        raise
    else:
        await deliver(bot, worker, claim, JobReply(messages))


def _do_together(worker: WorkerContext, waiting: deque[Claim], until: float) -> bool:
    """Do those jobs of a round that can be done by one call, and take them off. Whether the round is over: they met an
    unavailable database, or used up the task's time, for which they were given back.

    Those that fail together for another reason are done again in halves until then, for it may be one that is wrong.
    That one is left, and so is what there was no time for.
    """
    by_kind: dict[str, list[Claim]] = defaultdict(list)
    for claim in waiting:
        if _goes_with_others(claim):
            by_kind[claim.envelope.kind].append(claim)
    for kind, claims in by_kind.items():
        handler = handlers.find(kind)
        if handler is None or handler.apply_many is None:
            continue
        parts = [claims]
        while parts:
            part = parts.pop()
            if len(part) < 2:
                continue
            try:
                tasks = [_task_context(worker, handler, claim) for claim in part]
                results = handler.apply_many(tasks)
            except Exception as error:  # noqa: BLE001  the edge of these jobs, logged here
                if isinstance(error, SoftTimeLimitExceeded) or _is_outage(worker, kind, error):
                    for claim in part:
                        waiting.remove(claim)
                    _give_back_together(worker, part, error)
                    return True
                log.warning("jobs_failed_together", kind=kind, jobs=len(part), error=type(error).__name__)
                if time.monotonic() > until:
                    break
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
                continue
            for claim, task, result in zip(part, tasks, results, strict=True):
                waiting.remove(claim)
                _conclude(worker, claim, task, result)
    return False


def _conclude(
    worker: WorkerContext, claim: Claim, task: TaskContext[Any], result: list[Message] | Exception
) -> None:
    """One of several jobs that were done together: its answer goes out, or it is given back for what it met."""
    with _as_job(worker, claim):
        if not isinstance(result, Exception):
            reply = JobReply(result, tuple(task.balances))
            worker.reply_sender.submit(partial(deliver, worker=worker, claim=claim, reply=reply))
            return
        try:
            give_back(worker, claim, result, None)
        finally:
            worker.in_flight.drop(claim.envelope.job_id)


def _give_back_together(worker: WorkerContext, claims: Sequence[Claim], error: Exception) -> None:
    for claim in claims:
        try:
            with _as_job(worker, claim):
                if isinstance(error, DatabaseAway):
                    give_back_unavailable(worker, claim, error, None)
                else:
                    give_back(worker, claim, error, None)
        finally:
            worker.in_flight.drop(claim.envelope.job_id)


def _may_go_on(worker: WorkerContext, queue: str) -> bool:
    """Whether this process takes more from a queue than Celery hands it."""
    if queue not in DRAINED_QUEUES or worker.reply_sender.closing.is_set():
        return False
    return queue not in DATABASE_QUEUES or lets_calls_through(worker)


def _goes_with_others(claim: Claim) -> bool:
    """Not one that may be what fails, or ends processes, or has no time left."""
    is_new = claim.deliveries == 1 and claim.tries == 0
    return is_new and claim.failure is None and claim.reply is None and not is_too_late(claim)


def _is_outage(worker: WorkerContext, kind: str, error: Exception) -> bool:
    """Whether jobs met an unavailable database together, and not one of them took too long."""
    if not isinstance(error, DatabaseAway):
        return False
    if error.kind is not FailureKind.SLOW:
        return True
    # A round of short jobs finds out by the first that is done by itself. A batch has no time for that.
    return not is_short(kind) and not is_slow_itself(worker, error)


def _taken_from(waiting: deque[Claim]) -> list[Claim]:
    taken = [*waiting]
    waiting.clear()
    return taken


@contextmanager
def _as_job(worker: WorkerContext, claim: Claim) -> Iterator[None]:
    """What is logged inside is of this job, and what is said is in its language, also by what is started there."""
    with (
        structlog.contextvars.bound_contextvars(
            job_id=claim.envelope.job_id, update_id=claim.envelope.update_id, attempt=claim.deliveries
        ),
        speaking(*_language_and_zone_of(worker, claim.envelope)),
    ):
        yield


def _task_context(worker: WorkerContext, handler: Handler, claim: Claim) -> TaskContext[Any]:
    envelope = claim.envelope
    language, time_zone = _language_and_zone_of(worker, envelope)
    return TaskContext(
        job=handler.job_type.decode(envelope.fields),
        job_id=envelope.job_id,
        lane=envelope.lane,
        origin=envelope.origin,
        message_id=envelope.message_id,
        callback_id=envelope.callback_id,
        waited_seconds=claim.waited_ms / 1000,
        uncertain=claim.uncertain,
        tries=claim.tries,
        language=language,
        time_zone=time_zone,
        worker=worker,
    )


def _language_and_zone_of(worker: WorkerContext, envelope: Envelope) -> tuple[str | None, str | None]:
    """A job that did not come by an update has neither, and may be somebody's all the same."""
    if envelope.language is not None:
        return envelope.language, envelope.time_zone
    telegram_id, _ = envelope.requester
    if not isinstance(telegram_id, int):
        return None, None
    languages = worker.inbox.languages
    return languages.of(telegram_id), languages.zone_of(telegram_id)
