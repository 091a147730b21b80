"""The tasks of apps: one for each command, job and periodic function that they register, and for each job of Ballast's
own that they replace.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog
from pydantic import ValidationError

from ballast.apps.installed import INSTALLED
from ballast.apps.questions import JobDialogue, dialogue_of
from ballast.apps.registered import Handler
from ballast.asking import Ask
from ballast.batch import BatchContext, Batched
from ballast.builtin.jobs import UserJob
from ballast.chat.origins import Origin, messages_of
from ballast.context import JobContext, User
from ballast.inbox import Acceptance, dialogue_key
from ballast.jobs import OWNER, Discard, Job, JobInvalid, Snooze, TelegramUpdate
from ballast.messages import Button as Shown
from ballast.messages import Message
from ballast.queueing.envelope import Envelope, enqueued_lane
from ballast.queueing.kinds import JOB_TYPES, AppCommand
from ballast.queueing.periodic_runs import lane_of
from ballast.queueing.snooze import Snoozed
from ballast.replies import BuiltInAnswer, Reply
from ballast.subscriptions import known
from dbcore import keys, outbox
from dbcore.errors import DatabaseAway, OutcomeUnknown, Unavailable, UsageError
from dbcore.fingerprints import fingerprint
from dbcore.guard.refusal import Refuse
from dbcore.last_known import LAST_KNOWN
from dbcore.ledger import users
from dbcore.ledger.users import Profile
from dbcore.redis_client import redis_time
from workers import built_in_answers, handlers
from workers.celery import Task, upkeep
from workers.context import WorkerContext
from workers.job_buttons import keep
from workers.periods import period_of
from workers.task_context import AsyncStep, TaskContext
from workers.tasks.job_task import make_task

log = structlog.get_logger(__name__)

MESSAGES_MAX = 10

NO_ROOM_SECONDS = 5.0
"""A job that has to enqueue another, for which the inbox has no room, is tried again after this."""


def _run(handler: Handler, task: TaskContext[Job]) -> list[Message] | AsyncStep:
    ctx = _context(handler, task)
    if handler.database != "none":
        _register(task)
    try:
        outcome = _called(handler, *_parameters(handler, ctx, task.job))
        _remember(task, outcome)
        return _messages(task, outcome)
    except Unavailable as away:
        if not ctx.has_effects:
            raise
        raise _unknown(away) from away
    except Exception as error:  # noqa: BLE001  what it does not raise again is an answer
        if isinstance(error, Refuse) and ctx.has_effects:
            log.warning("refused_after_effects", kind=handler.kind)  # who asked reads the refusal alone
        return _ended_by(task, error)


def _run_batch(handler: Handler, tasks: Sequence[TaskContext[Job]]) -> list[list[Message] | Exception]:
    """Raises what may be the fault of one of several jobs, and an outage."""
    batched = [
        Batched(_payload(handler, task.job), task.job_id, task.tries + 1, _user(task)) for task in tasks
    ]
    ctx: BatchContext[Job] = BatchContext(batched, **_surroundings(handler, tasks[0]))
    try:
        outcomes = ctx.checked(_called(handler, ctx, [each.job for each in batched]))
    except Unavailable as away:
        if not ctx.has_effects:
            raise
        raise _unknown(away) from away
    except Exception as error:
        if len(tasks) > 1 or isinstance(error, DatabaseAway):
            raise
        outcomes = [error]
    return [_answered(ctx, task, outcome) for task, outcome in zip(tasks, outcomes, strict=True)]


def _run_alone(handler: Handler, task: TaskContext[Job]) -> list[Message]:
    """By a handler of batches."""
    (result,) = _run_batch(handler, [task])
    if isinstance(result, Exception):
        raise result
    return result


def _answered(ctx: BatchContext[Job], task: TaskContext[Job], outcome: Any) -> list[Message] | Exception:
    """What becomes of one job of a batch, whatever became of the others."""
    try:
        return _ended_by(task, outcome) if isinstance(outcome, Exception) else _messages_alone(task, outcome)
    except Unavailable as away:
        return _unknown(away) if ctx.has_effects else away
    except Exception as error:  # noqa: BLE001  the job is given back for it, which logs it
        return error


def _called(handler: Handler, *arguments: Any) -> Any:
    outcome: Any = handler.function(*arguments)
    return asyncio.run(_awaited(outcome)) if inspect.isawaitable(outcome) else outcome


def _ended_by(task: TaskContext[Job], error: Exception) -> list[Message]:
    """The answer to a job that ended so. Raises what its end is if it is no answer."""
    match error:
        case Refuse():
            if task.origin is None:
                raise Discard(f"refused, and nobody waits for the answer: {error.message}") from error
            return messages_of(Reply(error.message), task.origin)
        case Snooze():
            raise Snoozed(error.seconds) from error
    raise error


def _unknown(away: Unavailable) -> OutcomeUnknown:
    """This statement had no effect, but one before it had: the job is not to be answered as if it had not."""
    return OutcomeUnknown(away.kind, away.retry_after_seconds)


def _remember(task: TaskContext[Job], outcome: Any) -> None:
    """Of a command that answers with it while the database is unavailable."""
    job = task.job
    command = INSTALLED.commands_of.get(job.kind)
    if not isinstance(job, AppCommand) or command is None or command.unavailable is not LAST_KNOWN:
        return
    replies = outcome if isinstance(outcome, Sequence) else [outcome]
    if all(isinstance(each, Reply) and not each.buttons and each.to is None for each in replies):
        task.worker.inbox.answers.keep(job, replies)


def _register(task: TaskContext[Job]) -> None:
    """Put on record who writes to a bot whose /start is a handler of python-telegram-bot's, as /start of ours does."""
    if "start" not in INSTALLED.left_to_handlers or task.origin is None:
        return
    if isinstance(task.job, TelegramUpdate) and (profile := _profile(task.job)) is not None:
        users.get_or_create(task.engine, profile=profile)


async def _awaited(outcome: Any) -> Any:
    return await outcome


def _parameters(handler: Handler, ctx: JobContext, job: Job) -> list[Any]:
    if handler.payload is None:
        return [ctx]
    if not isinstance(job, AppCommand):
        return [ctx, _payload(handler, job)]
    try:
        return [ctx, handler.payload.model_validate_json(json.dumps(job.arguments))]
    except ValidationError as error:
        # The release that took them had another model. What somebody wrote stays out of the log.
        wrong = ", ".join(sorted({str(each["loc"][0]) if each["loc"] else "all" for each in error.errors()}))
        raise JobInvalid(f"{handler.kind}: arguments that this release does not take: {wrong}") from None


def _payload(handler: Handler, job: Job) -> Job:
    payload = handler.payload
    if payload is not None and handler.kind in handler.aliases and issubclass(payload, Job):
        return payload.decode(job.model_dump(mode="json"))  # under an alias it came as a type of its own
    return job


def _context(handler: Handler, task: TaskContext[Job]) -> JobContext:
    return JobContext(
        job_id=task.job_id,
        attempt=task.tries + 1,
        waited_seconds=task.waited_seconds,
        note_balance=task.balances.append,
        user=_user(task),
        profile=_profile(task.job),
        enqueue=partial(_enqueue, task),
        built_in=built_in_answers.built_in_of(handler, task),
        **_surroundings(handler, task),
    )


def _surroundings(handler: Handler, task: TaskContext[Job]) -> dict[str, Any]:
    """What is the same for all jobs of a handler."""
    return {
        "kind": handler.kind,
        "database": handler.database,
        "settings": task.settings,
        "engine": task.engine,
        "announce": partial(_announce, task.worker),
        "app_settings": INSTALLED.settings.get(handler.app),
        "translations": INSTALLED.translations.get(handler.app),
        "language_of": task.languages.of,
        "subscribed": partial(
            known.is_subscribed, task.engine, task.worker.redis, memory_first=handler.database == "none"
        ),
    }


def _profile(job: Job) -> Profile | None:
    """Who wrote just now; None of a job that nobody wrote."""
    match job:
        case UserJob():
            return job.profile
        case TelegramUpdate(telegram_id=int(telegram_id)):
            return Profile(telegram_id, job.username, job.first_name, job.language_code)
    return None


def _announce(worker: WorkerContext) -> None:
    worker.link.note_jobs()
    outbox.announce()


def _user(task: TaskContext[Job]) -> User | None:
    job = task.job
    if isinstance(job, UserJob | TelegramUpdate) and job.telegram_id is not None:
        return User(job.telegram_id, job.username, job.first_name, job.language_code)
    declared = INSTALLED.handlers[job.kind].declared
    asked_by = OWNER if declared is None else declared.asked_by
    telegram_id = None if asked_by is None else getattr(job, asked_by, None)
    if telegram_id is None and task.origin is not None:
        telegram_id = task.origin.asker_id
    return User(telegram_id) if isinstance(telegram_id, int) else None


def _buttons(task: TaskContext[Job], reply: Reply, place: int) -> list[list[Shown]]:
    """As the message carries them; what they stand for is kept by then.

    place -- of the reply among those of the job: the same button has the same token in each attempt.
    """
    if not reply.buttons:
        return []
    user = _user(task)
    owner_id = reply.to if reply.to is not None or user is None else user.telegram_id
    if owner_id is None:
        raise UsageError(
            "buttons need somebody who may press them: give the job a telegram_id, or the reply a `to`"
        )
    return keep(task.worker.redis, task.job_id, reply.buttons, owner_id, place)


def _messages_alone(task: TaskContext[Job], outcome: Any) -> list[Message]:
    """The answers of a job that leaves nothing for the reply sender's loop."""
    messages = _messages(task, outcome)
    assert isinstance(messages, list)  # noqa: S101  a batch has no built-in answers
    return messages


def _messages(task: TaskContext[Job], outcome: Any) -> list[Message] | AsyncStep:
    """The answers; jobs among what was returned are on record by then."""
    parts = outcome if isinstance(outcome, Sequence) and not isinstance(outcome, str | bytes) else [outcome]
    messages: list[Message] = []
    asks: list[JobDialogue] = []
    steps: list[tuple[int, AsyncStep]] = []
    """Of Ballast's own functions, and how many messages are before what they answer."""
    for place, part in enumerate(parts):
        match part:
            case None:
                continue
            case Reply():
                messages += messages_of(
                    part,
                    task.origin,
                    _buttons(task, part, place),
                    pressed_message_id=task.message_id,
                )
            case Job():
                _enqueue(task, part, None)
            case BuiltInAnswer(said=list() as said):
                messages += said
            case BuiltInAnswer(said=step):
                steps.append((len(messages), step))
            case Ask():
                asks.append(_question(task, part))
                messages.append(asks[-1].job.message(_asker(task)[1]))
            case _:
                raise TypeError(
                    "expected a Reply, a Job, an Ask, a list of them or None from the handler, got "
                    f"{type(part).__name__}"
                )
    if len(messages) > MESSAGES_MAX:
        raise ValueError(f"expected at most {MESSAGES_MAX} replies from the handler, got {len(messages)}")
    if len(asks) > 1:
        raise ValueError(f"expected one Ask from the handler, got {len(asks)}")
    for dialogue in asks:  # last, so that nothing waits for an answer to what is not asked
        user_id, origin = _asker(task)
        worker, key = task.worker, dialogue_key(origin.chat_id, user_id)
        worker.inbox.ask(task.job_id, worker.owner, key, dialogue.model_dump_json())
    return built_in_answers.among(messages, steps) if steps else messages


def _asker(task: TaskContext[Job]) -> tuple[int, Origin]:
    """Who is asked, and where."""
    if task.origin is None or task.origin.asker_id is None:
        raise UsageError("Ask needs somebody who wrote or pressed: this job comes from no chat")
    return task.origin.asker_id, task.origin


def _question(task: TaskContext[Job], ask: Ask) -> JobDialogue:
    INSTALLED.require_job(ask.job.kind)
    user_id, origin = _asker(task)
    return dialogue_of(ask, job_id=task.job_id, user_id=user_id, origin=origin)


def _enqueue(task: TaskContext[Job], job: Job, key: str | None, delay_seconds: float = 0.0) -> None:
    """Have a job done next, or after so many seconds, by the key that it was given."""
    if job.kind not in JOB_TYPES:
        raise JobInvalid(f"{job.kind}: expected a job of ballast.builtin, or of an app of BALLAST_APPS")
    worker, written = task.worker, fingerprint(job.kind, job.model_dump_json())
    if key is None:
        job_id = f"of-{fingerprint(task.job_id, written)[:40]}"
    else:
        keys.require_of_job(key)
        if not worker.inbox.binds(key, written):
            raise JobInvalid(
                f"key: {key} came before with another job; expected the same one, or another key"
            )
        job_id = keys.job_id_of(key)
    accept(task, job, job_id, delay_seconds=delay_seconds)


def accept(
    task: TaskContext[Any],
    job: Job,
    job_id: str,
    *,
    pressed_message_id: int | None = None,
    delay_seconds: float = 0.0,
) -> Acceptance:
    """Take a job on record, for the chat of this one, and for its own user or else this one's.

    Raises Snoozed if there is no room.
    """
    worker, user = task.worker, _user(task)
    telegram_id = getattr(job, OWNER, None if user is None else user.telegram_id)
    is_askers = user is not None and telegram_id == user.telegram_id
    envelope = Envelope.of(
        job,
        job_id=job_id,
        lane=enqueued_lane(job_id, job.kind, job.model_dump(mode="json"), telegram_id),
        origin=task.origin,
        message_id=pressed_message_id,
        language=task.language if is_askers else None,
        time_zone=task.time_zone if is_askers else None,
    )
    receipt = worker.inbox.accept(envelope, after=task.job_id, delay_seconds=delay_seconds)
    if receipt.status in {Acceptance.FULL, Acceptance.CROWDED}:
        raise Snoozed(NO_ROOM_SECONDS)
    if receipt.dispatch is not None:
        worker.publisher.publish(receipt.dispatch)
    return receipt.status


def _done_by(handler: Handler) -> handlers.Handler:
    job_type = JOB_TYPES[handler.kind]
    if handler.batch is None:
        return handlers.Handler(job_type, partial(_run, handler))
    return handlers.Handler(job_type, partial(_run_alone, handler), partial(_run_batch, handler))


for _handler in INSTALLED.handlers.values():
    if not _handler.is_by_task:
        make_task(_done_by(_handler))


@upkeep("workers.health.tick")
def tick(task: Task, kind: str) -> None:
    """Have this period's run of what an app does every so often done, unless one is on record already. Asked for more
    often than once a period.
    """
    periodic = INSTALLED.periodic.get(kind)
    if periodic is None:
        return  # of a release before
    worker = task.context
    period = period_of(periodic, redis_time(worker.redis))
    lane = lane_of(kind)
    if period is None or worker.inbox.is_waiting(lane):
        return
    receipt = worker.inbox.accept(Envelope.of(JOB_TYPES[kind](), job_id=f"every-{kind}-{period}", lane=lane))
    if receipt.dispatch is not None:
        worker.publisher.publish(receipt.dispatch)
