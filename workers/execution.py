"""How a task carries out a job: claim, one call into dbcore, answer, finish.

Every way out is written on the inbox record, so whatever dies in between, another process goes on from there:

    claimed ── done ──▶ answer under way ──▶ finished
       │                      └─ Telegram away ──▶ the answer waits on the record, queue `replies`
       ├─ an errand is left ──▶ under way on the courier's loop, while the task's slot is free again ──▶ done
       ├─ database away ──▶ given back, due again once the breaker lets calls through
       ├─ too slow, and the database is not ──▶ given back, due again later each time; that counts as a try
       ├─ not now ──▶ given back, due again after a while
       └─ cannot succeed ──▶ recorded in failed_operations, its user told with a reference, finished
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import redis
import structlog
from celery.exceptions import SoftTimeLimitExceeded

from dbcore import keys
from dbcore.breaker_rules import BreakerState
from dbcore.engine import GuardedEngine
from dbcore.errors import DatabaseAway
from dbcore.failures import FailureKind
from dbcore.fingerprints import fingerprint
from dbcore.known_balances import SeenBalance
from dbcore.outcomes import Outcome
from dbcore.settings import Settings
from workers import process
from workers.answers import Answer, deliver
from workers.failures import record_failure
from workers.inbox import Acceptance, Claim
from workers.jobs import Envelope, Job, JobInvalid, ShowBalance, ShowDatabaseStatus, ShowHistory
from workers.messages import Message, to_json
from workers.not_now import NotNow
from workers.notices import balance_from_memory
from workers.origins import Origin
from workers.telegram.presses import TOAST_LENGTH_MAX
from workers.texts import escape

if TYPE_CHECKING:
    from telegram import Bot

log = structlog.get_logger(__name__)

J = TypeVar("J", bound=Job)

Errand = Callable[["Bot | None"], Coroutine[None, None, list[Message]]]
"""What is left of a job for the courier's event loop: it gets the bot, where there is one, and returns the answer."""

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
    ShowBalance.kind: "balance",
    ShowHistory.kind: "history",
    ShowDatabaseStatus.kind: "dbstatus",
}
"""What a link to the private chat asks for, by the kind of job whose answer could not be sent there."""

OPERATOR = "operator"
ACTOR_LENGTH_MAX = 64

_IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class NotOnRecord(Exception):
    """An operator's job could not be taken on record now: Celery's message is all there is of it, and must stay."""


class JobFailed(Exception):
    """Ends a task that an operator started with arguments that cannot work; the dead letter is written."""


@dataclass(frozen=True)
class Work(Generic[J]):
    """What a task's function receives: the job, where its answer goes, and the doorway to the database.

    origin -- where the job came from; None if nobody waits for an answer.
    message_id -- the message whose button was pressed.
    callback_id -- the press that is to be answered.
    waited_seconds -- from its intake until this process took it.
    uncertain -- how many times it sent a message that may have arrived, without an answer that says so.
    """

    job: J
    job_id: str
    origin: Origin | None
    message_id: int | None
    callback_id: str | None
    waited_seconds: float
    uncertain: int
    engine: GuardedEngine
    settings: Settings
    awaits_notice: Callable[[str], bool]
    balances: list[SeenBalance] = field(default_factory=list)
    """What the job saw of balances: the last known ones while the database is unavailable."""

    def note_read(self, telegram_id: int, balance: int, version: int) -> None:
        """Somebody's balance was read."""
        self.balances.append(SeenBalance(telegram_id, self.settings.currency, balance, version))

    def note(self, outcome: Outcome) -> None:
        """The balances of those whom it concerns."""
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
    job_type: type[J],
    apply: Callable[[Work[J]], list[Message] | Errand],
    task_id: str,
    queue: str,
    arguments: dict[str, Any],
) -> None:
    """Carry out the job that a Celery message stands for.

    queue -- the one that the message came by.
    arguments -- `{"job_id": …, "place": …}` from the inbox, or the job's own fields from an operator. The latter are
    taken on record first and are a job like any other from there on; with an `idempotency_key` among them, any
    number of calls with the same key are one job.
    Raises NotOnRecord where an operator's job could not be taken on record now.
    """
    worker = process.current()
    job_id, refused = _on_record(worker, job_type, task_id, arguments)
    worker.in_hand.take(
        job_id, job_type.kind
    )  # before the claim, or the heart might give back what was just claimed
    answering = False
    try:
        claim = worker.inbox.claim(job_id, worker.owner, queue=queue, place=str(arguments.get("place", "")))
        if claim is None:
            log.info("copy_dropped", job_id=job_id)
            return
        structlog.contextvars.bind_contextvars(
            job_id=job_id, update_id=claim.envelope.update_id, attempt=claim.deliveries
        )
        log.info("claimed", kind=claim.envelope.kind)
        outcome = _outcome_of(worker, job_type, apply, claim)
        if isinstance(outcome, Answer):
            worker.courier.carry(lambda bot: deliver(bot, worker, claim, outcome))
            answering = True
        elif outcome is not None:
            worker.courier.carry(lambda bot: _run_errand(bot, worker, claim, outcome))
            answering = True
    finally:
        structlog.contextvars.clear_contextvars()
        if not answering:
            worker.in_hand.drop(job_id)
    if refused is not None:
        raise JobFailed(refused)


def _on_record(
    worker: process.WorkerProcess, job_type: type[J], task_id: str, arguments: dict[str, Any]
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
    envelope = Envelope(
        job_id=job_id, lane=f"task:{job_id}", kind=job_type.kind, fields=_as_an_operator_s(fields)
    )
    try:
        status = worker.inbox.accept(envelope, failure=refused or objection).status
    except redis.RedisError as error:
        raise _unreachable(error) from error
    if status in {Acceptance.FULL, Acceptance.CROWDED}:
        raise NotOnRecord(f"the inbox is {status}")
    if status is not Acceptance.ACCEPTED:
        log.info("taken_before", job_id=job_id, how=status)
        return job_id, refused  # what was no objection then is none now
    return job_id, refused or objection


def _as_an_operator_s(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a call, with an `actor` that says that an operator named it: else the audit log would show whomever
    they please, such as an admin of the chat.
    """
    actor = fields.get("actor")
    if not isinstance(actor, str) or actor == OPERATOR or actor.startswith(f"{OPERATOR}:"):
        return fields
    return {**fields, "actor": f"{OPERATOR}:{actor}"[:ACTOR_LENGTH_MAX]}


def _unreachable(error: redis.RedisError) -> NotOnRecord:
    return NotOnRecord(f"Redis does not answer ({type(error).__name__})")


def _bound(worker: process.WorkerProcess, key: object, job: Job) -> str:
    """The id of the one job that `key` stands for. Raises JobInvalid where that is another one."""
    if not isinstance(key, str) or not _IDEMPOTENCY_KEY.fullmatch(key):
        raise JobInvalid("idempotency_key: expected 1 to 64 letters, digits or any of . _ : -")
    if not worker.inbox.binds(key, fingerprint(job.kind, job.model_dump_json())):
        raise JobInvalid(
            f"idempotency_key: {key} came before with other arguments; expected the same ones, or a key of its own"
        )
    return keys.job_id_of(key)


def _outcome_of(
    worker: process.WorkerProcess,
    job_type: type[J],
    apply: Callable[[Work[J]], list[Message] | Errand],
    claim: Claim,
) -> Answer | Errand | None:
    """Do what the record says is next. None where the job was given back instead."""
    envelope = claim.envelope
    failure = claim.failure
    try:
        if failure is None and claim.deliveries > DELIVERIES_MAX:
            failure = f"parked after {DELIVERIES_MAX} deliveries that never finished"
        if failure is not None:
            return Answer(record_failure(worker, envelope, failure))
        if claim.reply is not None:
            return Answer.kept(claim.reply)
        work = Work(
            job=job_type.decode(envelope.fields),
            job_id=envelope.job_id,
            origin=envelope.origin,
            message_id=envelope.message_id,
            callback_id=envelope.callback_id,
            waited_seconds=claim.waited_ms / 1000,
            uncertain=claim.uncertain,
            engine=worker.engine,
            settings=worker.settings,
            awaits_notice=worker.inbox.awaits_notice,
        )
        result = apply(work)
        return Answer(result, tuple(work.balances)) if isinstance(result, list) else result
    except Exception as error:  # noqa: BLE001  the edge of a job, logged there
        _give_back(worker, claim, error, failure)
        return None


def _lets_calls_through(worker: process.WorkerProcess) -> bool:
    return worker.engine.snapshot().state in {BreakerState.CLOSED, BreakerState.DISABLED}


def _is_slow_itself(worker: process.WorkerProcess, away: DatabaseAway) -> bool:
    """Whether it is the job that took too long: the breaker lets calls through, and the database answers another
    statement at once. A server that froze just now does not.
    """
    return (
        away.kind is FailureKind.SLOW
        and _lets_calls_through(worker)
        and worker.engine.probe(writes=False) is None
    )


def _again_after(away: DatabaseAway) -> float:
    if away.kind is FailureKind.STORAGE:
        return random.uniform(*UNWRITABLE_SECONDS)  # noqa: S311  no secret
    return min(away.retry_after_seconds, GIVEN_BACK_SECONDS_MAX)


def _from_memory(worker: process.WorkerProcess, envelope: Envelope) -> str | None:
    """The answer that needs no database, where there is one: the job is then done but for sending it."""
    paused = worker.engine.breaker.snapshot().state is BreakerState.FORCED_OPEN
    answer = balance_from_memory(envelope, worker.inbox.balances, worker.settings, paused=paused)
    return None if answer is None else to_json(answer)


async def _run_errand(bot: Bot | None, worker: process.WorkerProcess, claim: Claim, errand: Errand) -> None:
    try:
        messages = await errand(bot)
    except Exception as error:  # noqa: BLE001  the edge of a job, logged there
        try:
            await asyncio.to_thread(_give_back, worker, claim, error, None)
        finally:
            worker.in_hand.drop(claim.envelope.job_id)
    except BaseException:  # the process ends: what it holds is given back by its farewell
        worker.in_hand.drop(claim.envelope.job_id)
        raise
    else:
        await deliver(bot, worker, claim, Answer(messages))


def _give_back(worker: process.WorkerProcess, claim: Claim, error: Exception, failure: str | None) -> None:
    """A step of the job ended with `error`: what becomes of it now.

    failure -- of the job, where recording that was the step. Raises redis.RedisError: the record stays as it is then,
    and the heart gives the job back.
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
            log.warning(
                "database_away", kind=error.kind, retry_after_seconds=round(error.retry_after_seconds, 3)
            )
            # While calls are let through, one that failed says little: the job is tried again before anybody is told.
            tell = claim.unavailable > 0 or not _lets_calls_through(worker)
            has_failed = failure is not None or claim.failure is not None
            worker.inbox.release(
                job_id,
                worker.owner,
                delay_seconds=_again_after(error),
                failure=failure,
                unavailable=claim.unavailable + 1,
                count_delivery=False,
                tell=tell,
                reply=_from_memory(worker, claim.envelope) if tell and not has_failed else None,
            )
        case NotNow():
            worker.inbox.release(
                job_id,
                worker.owner,
                delay_seconds=error.seconds,
                uncertain=claim.uncertain + 1 if error.uncertain else None,
                count_delivery=False,
            )
        case redis.RedisError():
            raise error
        case SoftTimeLimitExceeded():
            # The clock ran, not the job: a frozen host, say. What it did is found by its key.
            log.warning("time_limit", deliveries=claim.deliveries)
            worker.inbox.release(job_id, worker.owner, delay_seconds=0)
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
