"""How a task carries out a job: claim, one call into dbcore, answer, finish. Then it goes on with what waits in the
same queue, a round after the other (draining.py): each round claims its jobs in one step.

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
import random
import time
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import redis
import structlog
from celery.exceptions import SoftTimeLimitExceeded

from ballast.envelope import Envelope, lane_by_field
from ballast.inbox import Acceptance, Claim
from ballast.installed import INSTALLED
from ballast.jobs import Discard, Job, JobInvalid, task_name
from ballast.kinds import READING_KINDS
from ballast.languages import Languages
from ballast.messages import Message, to_json
from ballast.notices import answer_without_database
from ballast.origins import Origin
from ballast.queues import DATABASE_QUEUES
from ballast.snooze import Snoozed
from ballast.telegram.presses import TOAST_LENGTH_MAX
from ballast.texts import speaking
from dbcore import keys
from dbcore.breaker.rules import BreakerState
from dbcore.errors import DatabaseAway, OutcomeUnknown
from dbcore.failures import FailureKind
from dbcore.fingerprints import fingerprint
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.balance_cache import BalanceSnapshot
from dbcore.outcomes import Outcome
from dbcore.settings import Settings
from workers import handlers
from workers.context import WorkerContext
from workers.draining import DRAINED_QUEUES, HELD_SECONDS_MAX, SPLIT_SECONDS_MAX, Turn
from workers.failures import record_failure
from workers.handlers import Handler
from workers.replies import Answer, deliver
from workers.texts import escape

if TYPE_CHECKING:
    from telegram import Bot

log = structlog.get_logger(__name__)

J = TypeVar("J", bound=Job)

AsyncStep = Callable[["Bot | None"], Coroutine[None, None, list[Message]]]
"""What is left of a job for the reply sender's event loop: it gets the bot, if there is one, and returns the answer."""

DELIVERIES_MAX = 5
"""A job that was claimed this often and never finished kills its workers: it is parked."""

RECORD_AGAIN_SECONDS_MAX = 60

SLOW_AGAIN_SECONDS_MAX = 60

GIVEN_BACK_SECONDS_MAX = 5.0
"""While the fleet's breaker is open the rescuer holds it back anyway, until it closes and not until a time."""

UNWRITABLE_SECONDS = (2.0, 5.0)
"""A full or read-only database leaves the queues open, for it can be read: what it refused all the same, such as the
balance of somebody new, comes again after a while that is drawn from these.
"""

_STARTED_WITH = {
    command.handler.kind: word
    for word, command in INSTALLED.own_commands.items()
    if command.declared is not None and command.declared.is_linked
}
"""What a link to the private chat asks for, by the kind of job whose answer could not be sent there."""

OPERATOR = "operator"
ACTOR_LENGTH_MAX = 64


class EnqueueFailed(Exception):
    """An operator's job could not be taken on record now: Celery's message is all there is of it, and must stay."""


class JobFailed(Exception):
    """Ends a task that an operator started with arguments that cannot work; the dead letter is written."""


@dataclass(frozen=True)
class Work(Generic[J]):
    """What a task's function receives: the job, where its answer goes, and the doorway to the database.

    origin -- where the job came from; None if nobody waits for an answer.
    message_id -- the message whose button was pressed.
    callback_id -- the press that is to be answered.
    waited_seconds -- from when it was queued until this process took it.
    uncertain -- how many times it sent a message that may have arrived, without an answer that says so.
    tries -- how many times it raised before.
    lane -- its user's.
    language -- of whoever reads the answer, which is spoken while the job is done by itself. None: English.
    worker -- what the process has that does it.
    """

    job: J
    job_id: str
    lane: str
    origin: Origin | None
    message_id: int | None
    callback_id: str | None
    waited_seconds: float
    uncertain: int
    tries: int
    language: str | None
    worker: WorkerContext
    balances: list[BalanceSnapshot] = field(default_factory=list)
    """What the job saw of balances: the last known ones while the database is unavailable."""
    outcomes: list[Outcome] = field(default_factory=list)
    """What became of money."""

    @property
    def engine(self) -> GuardedEngine:
        return self.worker.engine

    @property
    def settings(self) -> Settings:
        return self.worker.settings

    @property
    def languages(self) -> Languages:
        """Which one anybody else reads."""
        return self.worker.inbox.languages

    def note_read(self, telegram_id: int, balance: int, version: int) -> None:
        """Somebody's balance was read."""
        self.balances.append(BalanceSnapshot(telegram_id, self.settings.currency, balance, version))

    def note(self, outcome: Outcome) -> None:
        """What became of money, and the balances of those whom it concerns."""
        self.outcomes.append(outcome)
        self.balances.extend(outcome.balances_now)

    def answer(
        self,
        text: str,
        buttons: Sequence[Sequence[Any]] = (),
        *,
        edit: bool = False,
        picture: str | None = None,
    ) -> list[Message]:
        """The answer, for the asker alone: a command in a group is answered in the private chat. Empty if nobody waits.

        edit -- put it in place of the message whose button was pressed.
        """
        if self.origin is None:
            return []
        return self.origin.privately(
            text,
            buttons,
            edit_message_id=self.message_id if edit else None,
            picture=picture,
            opens=_STARTED_WITH.get(self.job.kind, "start"),
        )

    def answer_publicly(
        self, text: str, buttons: Sequence[Sequence[Any]] = (), *, edit: bool = False
    ) -> list[Message]:
        """The answer, for everybody in the chat to read: no balance, and nothing else that is private."""
        if self.origin is None:
            return []
        return [
            self.origin.publicly(text, buttons, edit_message_id=self.message_id if edit else None),
        ]

    def to_other(self, telegram_id: int, text: Callable[[], str]) -> Message:
        """What somebody else is told, in their private chat and their language."""
        with speaking(self.languages.of(telegram_id)):
            return Message(chat_id=telegram_id, text=text())

    def toast(self, text: str, *, matters: bool) -> list[Message]:
        """The answer to a press, shown to the presser alone and not sent.

        text -- plain, at most 200 characters, or it is sent as a message.
        matters -- send it as a message if it can no longer be shown.
        """
        if self.callback_id is None or len(text) > TOAST_LENGTH_MAX:
            return self.answer(escape(text))
        return [
            message.model_copy(update={"toast": self.callback_id, "matters": matters})
            for message in self.answer(escape(text))[:1]
        ]


def carry_out(
    worker: WorkerContext,
    job_type: type[J],
    apply: Callable[[Work[J]], list[Message] | AsyncStep],
    task_id: str,
    queue: str,
    arguments: dict[str, Any],
) -> None:
    """Carry out the job that a Celery message stands for.

    queue -- the one that the message came by.
    arguments -- `{"job_id": …, "place": …}` from the inbox, or the job's own fields from an operator. The latter are
    taken on record first and are a job like any other from there on; with an `idempotency_key` among them, any
    number of calls with the same key are one job.
    Raises EnqueueFailed where an operator's job could not be taken on record now.
    """
    job_id, refused = _on_record(worker, job_type, task_id, arguments)
    turn = Turn()
    handler = Handler(job_type, apply)
    left = _round(worker, queue, turn, job_id, str(arguments.get("place", "")), handler)
    while left and not turn.is_over() and _may_go_on(worker, queue):
        left = _round(worker, queue, turn)
    if refused is not None:
        raise JobFailed(refused)


def _may_go_on(worker: WorkerContext, queue: str) -> bool:
    """Whether this process takes more from a queue than Celery hands it."""
    if queue not in DRAINED_QUEUES or worker.reply_sender.closing.is_set():
        return False
    return queue not in DATABASE_QUEUES or _lets_calls_through(worker)


def _round(
    worker: WorkerContext,
    queue: str,
    turn: Turn,
    job_id: str = "",
    place: str = "",
    handler: Handler | None = None,
) -> int:
    """Claim jobs in one step, and do them one after the other. Returns how many messages are left, 0 if it is not to go
    on.

    job_id, place -- of the message that Celery handed out; none for a round that follows.
    handler -- what does that job.
    """
    is_short = handler is None or handlers.is_short(handler.job_type.kind)
    if handler is None or is_short:
        more, tasks = worker.round_size.jobs - bool(job_id), handlers.tasks_of(queue)
    else:  # nothing else waits behind it
        more, tasks = handlers.batch_of(handler.job_type.kind) - 1, [task_name(handler.job_type.kind)]
    with worker.in_flight.claiming():
        if job_id:  # before the claim, or the heartbeat might give back what was just claimed
            worker.in_flight.take(job_id, handler.job_type.kind if handler else "")
        try:
            found = worker.inbox.take_over(job_id, queue=queue, place=place)
            if found is None:
                found = worker.inbox.claim_many(
                    worker.owner,
                    job_id=job_id,
                    queue=queue,
                    place=place,
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
    until = began + (HELD_SECONDS_MAX if is_short else SPLIT_SECONDS_MAX)
    is_batch = not is_short and len(waiting) > 1
    try:
        if _do_together(worker, waiting, until):
            worker.round_size.reset()
            return 0
        while waiting:
            if is_batch and time.monotonic() > until:
                # They count as begun, so each is done by itself from now on, with all of a handler's time.
                _hand_back(worker, _taken_from(waiting), count_delivery=True)
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
        _hand_back(worker, waiting)


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
                works = [_work_of(worker, handler, claim) for claim in part]
                results = handler.apply_many(works)
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
            for claim, work, result in zip(part, works, results, strict=True):
                waiting.remove(claim)
                _conclude(worker, claim, work, result)
    return False


def _goes_with_others(claim: Claim) -> bool:
    """Not one that may be what fails, or ends processes, or has no time left."""
    is_new = claim.deliveries == 1 and claim.tries == 0
    return is_new and claim.failure is None and claim.reply is None and not _is_too_late(claim)


def _is_outage(worker: WorkerContext, kind: str, error: Exception) -> bool:
    """Whether jobs met an unavailable database together, and not one of them took too long."""
    if not isinstance(error, DatabaseAway):
        return False
    if error.kind is not FailureKind.SLOW:
        return True
    # A round of short jobs finds out by the first that is done by itself. A batch has no time for that.
    return not handlers.is_short(kind) and not _is_slow_itself(worker, error)


def _give_back_together(worker: WorkerContext, claims: Sequence[Claim], error: Exception) -> None:
    for claim in claims:
        try:
            with _as_job(worker, claim):
                if isinstance(error, DatabaseAway):
                    _give_back_unavailable(worker, claim, error, None)
                else:
                    _give_back(worker, claim, error, None)
        finally:
            worker.in_flight.drop(claim.envelope.job_id)


def _conclude(
    worker: WorkerContext, claim: Claim, work: Work[Any], result: list[Message] | Exception
) -> None:
    """One of several jobs that were done together: its answer goes out, or it is given back for what it met."""
    with _as_job(worker, claim):
        if not isinstance(result, Exception):
            answer = Answer(result, tuple(work.balances))
            worker.reply_sender.submit(partial(deliver, worker=worker, claim=claim, answer=answer))
            return
        try:
            _give_back(worker, claim, result, None)
        finally:
            worker.in_flight.drop(claim.envelope.job_id)


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
        speaking(_language_of(worker, claim.envelope)),
    ):
        yield


def _hand_back(worker: WorkerContext, claims: Iterable[Claim], *, count_delivery: bool = False) -> None:
    """Give back what was claimed and not begun, for any process to do at once.

    count_delivery -- it was begun, and is to be done by itself.
    """
    for claim in claims:
        job_id = claim.envelope.job_id
        try:
            worker.inbox.release(
                job_id, worker.owner, delay_seconds=0, count_delivery=count_delivery, begun=count_delivery
            )
        except redis.RedisError as error:
            log.warning("not_handed_back", job_id=job_id, error=type(error).__name__)  # the heartbeat does it
        finally:
            worker.in_flight.drop(job_id)


def _do(worker: WorkerContext, handler: Handler | None, claim: Claim) -> DatabaseAway | None:
    """Do one job that is in hand. Returns what it met of an unavailable database, for which it was given back.

    handler -- the one of its kind if not given.
    """
    answering = False
    with _as_job(worker, claim):
        try:
            log.debug("claimed", kind=claim.envelope.kind)
            outcome = _outcome_of(worker, handler, claim)
            if isinstance(outcome, Answer):
                worker.reply_sender.submit(lambda bot: deliver(bot, worker, claim, outcome))
                answering = True
            elif outcome is not None and not isinstance(outcome, DatabaseAway):
                worker.reply_sender.submit(lambda bot: _run_step(bot, worker, claim, outcome))
                answering = True
            return outcome if isinstance(outcome, DatabaseAway) else None
        finally:
            if not answering:
                worker.in_flight.drop(claim.envelope.job_id)


def _on_record(
    worker: WorkerContext, job_type: type[J], task_id: str, arguments: dict[str, Any]
) -> tuple[str, str | None]:
    """The job's id, and why it is refused where an operator's arguments make no job."""
    if arguments.keys() <= {"job_id", "place"} and isinstance(arguments.get("job_id"), str):
        return arguments["job_id"], None
    fields = dict(arguments)
    key = fields.pop("idempotency_key", None)
    job_id, refused, objection = task_id, None, None
    try:
        job = job_type.decode(fields)
        if key is not None:
            job_id = _bound(worker, key, job)
        objection = job.objection(datetime.now(UTC))
    except JobInvalid as error:
        refused = str(error)
        log.error("arguments_refused", job_id=job_id, error=refused)
    except redis.RedisError as error:
        raise _unreachable(error) from error
    fields = as_an_operator_s(fields)
    lane = lane_by_field(job_id, job_type.kind, fields) or f"task:{job_id}"
    envelope = Envelope(job_id=job_id, lane=lane, kind=job_type.kind, fields=fields)
    try:
        status = worker.inbox.accept(envelope, failure=refused or objection).status
    except redis.RedisError as error:
        raise _unreachable(error) from error
    if status in {Acceptance.FULL, Acceptance.CROWDED}:
        raise EnqueueFailed(f"the inbox is {status}")
    if status is not Acceptance.ACCEPTED:
        log.info("taken_before", job_id=job_id, how=status)
        return job_id, refused  # what was no objection then is none now
    return job_id, refused or objection


def as_an_operator_s(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a call, with an `actor` that says that an operator named it: else the audit log would show whomever
    they please, such as an admin of the chat.
    """
    actor = fields.get("actor")
    if not isinstance(actor, str) or actor == OPERATOR or actor.startswith(f"{OPERATOR}:"):
        return fields
    return {**fields, "actor": f"{OPERATOR}:{actor}"[:ACTOR_LENGTH_MAX]}


def _unreachable(error: redis.RedisError) -> EnqueueFailed:
    return EnqueueFailed(f"Redis does not answer ({type(error).__name__})")


def _bound(worker: WorkerContext, key: object, job: Job) -> str:
    """The id of the one job that `key` stands for. Raises JobInvalid where that is another one."""
    if not isinstance(key, str) or not keys.OF_JOBS.fullmatch(key):
        raise JobInvalid("idempotency_key: expected 1 to 64 letters, digits or any of . _ : -")
    if not worker.inbox.binds(key, fingerprint(job.kind, job.model_dump_json())):
        raise JobInvalid(
            f"idempotency_key: {key} came before with other arguments; expected the same ones, or a key of its own"
        )
    return keys.job_id_of(key)


def _outcome_of(
    worker: WorkerContext, handler: Handler | None, claim: Claim
) -> Answer | AsyncStep | DatabaseAway | None:
    """Do what the record says is next. Where the job was given back instead: what it met of an unavailable database, or
    None.
    """
    envelope = claim.envelope
    failure = claim.failure
    try:
        if failure is None and claim.deliveries > DELIVERIES_MAX:
            failure = f"parked after {DELIVERIES_MAX} deliveries that never finished"
        if failure is not None:
            return Answer(record_failure(worker, envelope, failure))
        if claim.reply is not None:
            return Answer.kept(claim.reply)
        if _is_too_late(claim):
            failure = f"not done by its deadline: queued {claim.waited_ms / 1000:.0f} seconds ago"
            return Answer(record_failure(worker, envelope, failure))
        handler = handler or handlers.handler_of(envelope.kind)
        work = _work_of(worker, handler, claim)
        result: list[Message] | AsyncStep = handler.apply(work)
        return Answer(result, tuple(work.balances)) if isinstance(result, list) else result
    except Exception as error:  # noqa: BLE001  the edge of a job, logged there
        _give_back(worker, claim, error, failure)
        return error if isinstance(error, DatabaseAway) else None


def _work_of(worker: WorkerContext, handler: Handler, claim: Claim) -> Work[Any]:
    envelope = claim.envelope
    return Work(
        job=handler.job_type.decode(envelope.fields),
        job_id=envelope.job_id,
        lane=envelope.lane,
        origin=envelope.origin,
        message_id=envelope.message_id,
        callback_id=envelope.callback_id,
        waited_seconds=claim.waited_ms / 1000,
        uncertain=claim.uncertain,
        tries=claim.tries,
        language=_language_of(worker, envelope),
        worker=worker,
    )


def _language_of(worker: WorkerContext, envelope: Envelope) -> str | None:
    """A job that did not come by an update has none, and may be somebody's all the same."""
    if envelope.language is not None:
        return envelope.language
    telegram_id, _ = envelope.requester
    return worker.inbox.languages.of(telegram_id) if isinstance(telegram_id, int) else None


def _lets_calls_through(worker: WorkerContext) -> bool:
    return worker.engine.snapshot().state in {BreakerState.CLOSED, BreakerState.DISABLED}


def _is_slow_itself(worker: WorkerContext, away: DatabaseAway) -> bool:
    """Whether it is the job that took too long: the breaker lets calls through, and the database answers another
    statement at once. A server that froze just now does not.
    """
    return (
        away.kind is FailureKind.SLOW
        and _lets_calls_through(worker)
        and worker.engine.probe(writes=False) is None
    )


def _next_try_seconds(claim: Claim, error: Exception) -> float | None:
    """After how long an app's job that raised is tried again; None if it has no attempts left, or no time."""
    handler = INSTALLED.handlers.get(claim.envelope.kind)
    if handler is None or isinstance(error, Discard | JobInvalid) or claim.tries + 1 >= handler.attempts:
        return None
    seconds, left = handler.wait_seconds(claim.tries + 1), _seconds_left(claim)
    return seconds if left is None or seconds < left else None


def _seconds_left(claim: Claim) -> float | None:
    """Until the deadline of an app's job, as of when it was claimed; None if it has none."""
    handler = INSTALLED.handlers.get(claim.envelope.kind)
    if handler is None or handler.deadline is None:
        return None
    return handler.deadline - claim.waited_ms / 1000


def _is_too_late(claim: Claim) -> bool:
    left = _seconds_left(claim)
    return left is not None and left <= 0


def _until_deadline(claim: Claim, seconds: float) -> float:
    """What is to wait for longer than it has time comes back when that is over, for its user to be told."""
    left = _seconds_left(claim)
    return seconds if left is None else min(seconds, max(0.0, left))


def _again_after(away: DatabaseAway) -> float:
    if away.kind is FailureKind.STORAGE:
        return random.uniform(*UNWRITABLE_SECONDS)  # noqa: S311  no secret
    return min(away.retry_after_seconds, GIVEN_BACK_SECONDS_MAX)


def _from_memory(worker: WorkerContext, envelope: Envelope) -> str | None:
    """The answer that needs no database, where there is one: the job is then done but for sending it."""
    paused = worker.engine.breaker.snapshot().state is BreakerState.FORCED_OPEN
    answer = answer_without_database(
        envelope, worker.inbox.balances, worker.inbox.answers, worker.settings, paused=paused
    )
    return None if answer is None else to_json(answer)


async def _run_step(bot: Bot | None, worker: WorkerContext, claim: Claim, step: AsyncStep) -> None:
    try:
        messages = await step(bot)
    except Exception as error:  # noqa: BLE001  the edge of a job, logged there
        try:
            await asyncio.to_thread(_give_back, worker, claim, error, None)
        finally:
            worker.in_flight.drop(claim.envelope.job_id)
    except BaseException:  # the process ends: what it holds is given back by its farewell
        worker.in_flight.drop(claim.envelope.job_id)
        raise
    else:
        await deliver(bot, worker, claim, Answer(messages))


def _give_back_unavailable(
    worker: WorkerContext, claim: Claim, away: DatabaseAway, failure: str | None
) -> None:
    """The job met an unavailable database. As `_give_back`."""
    log.warning("database_away", kind=away.kind, retry_after_seconds=round(away.retry_after_seconds, 3))
    # While calls are let through, one that failed says little: the job is tried again before anybody is told.
    tell = claim.unavailable > 0 or not _lets_calls_through(worker)
    has_failed = failure is not None or claim.failure is not None
    begun = claim.envelope.kind not in READING_KINDS and (claim.begun or isinstance(away, OutcomeUnknown))
    worker.inbox.release(
        claim.envelope.job_id,
        worker.owner,
        delay_seconds=_again_after(away),
        failure=failure,
        unavailable=claim.unavailable + 1,
        count_delivery=False,
        tell=tell,
        begun=begun,
        reply=_from_memory(worker, claim.envelope) if tell and not has_failed and not begun else None,
    )


def _give_back(worker: WorkerContext, claim: Claim, error: Exception, failure: str | None) -> None:
    """A step of the job ended with `error`: what becomes of it now.

    failure -- of the job, where recording that was the step. Raises redis.RedisError: the record stays as it is then,
    and the heartbeat gives the job back.
    """
    job_id = claim.envelope.job_id
    match error:
        case DatabaseAway() if _is_slow_itself(worker, error):
            given_up = claim.failure is None and failure is None and claim.deliveries >= DELIVERIES_MAX
            log.warning("job_too_slow", deliveries=claim.deliveries, given_up=given_up)
            if given_up:
                failure = (
                    f"gave up after {DELIVERIES_MAX} tries that each took too long, while the database was well "
                    f"(DB_DEADLINE_SECONDS is {worker.settings.db_deadline_seconds:g})"
                )
            worker.inbox.release(
                job_id,
                worker.owner,
                delay_seconds=0 if given_up else min(2**claim.deliveries, SLOW_AGAIN_SECONDS_MAX),
                failure=failure,
            )
        case DatabaseAway():
            _give_back_unavailable(worker, claim, error, failure)
        case Snoozed():
            worker.inbox.release(
                job_id,
                worker.owner,
                delay_seconds=_until_deadline(claim, error.seconds),
                uncertain=claim.uncertain + 1 if error.uncertain else None,
                begun=True,
                count_delivery=False,
                later=True,
            )
        case redis.RedisError():
            raise error
        case SoftTimeLimitExceeded():
            # The clock ran, not the job: a frozen host, say. What it did is found by its key.
            log.warning("time_limit", deliveries=claim.deliveries)
            worker.inbox.release(job_id, worker.owner, delay_seconds=0)
        case _ if (
            failure is None
            and claim.failure is None
            and (again_after := _next_try_seconds(claim, error)) is not None
        ):
            tries = claim.tries + 1
            log.warning("job_tried", tries=tries, exc_info=error)
            worker.inbox.release(
                job_id,
                worker.owner,
                delay_seconds=again_after,
                tries=tries,
                begun=True,
                count_delivery=False,
                later=True,
            )
        case _:
            log.error("job_failed", exc_info=error)
            # Given back with its failure, and due at once: recording that is a step of its own, which may wait too.
            # Should the recording be what fails, the first failure stays, and the next try waits longer each time.
            again = 0 if claim.failure is None else min(2**claim.deliveries, RECORD_AGAIN_SECONDS_MAX)
            worker.inbox.release(
                job_id,
                worker.owner,
                delay_seconds=again,
                failure=claim.failure or f"{type(error).__name__}: {error}"[:2000],
            )
