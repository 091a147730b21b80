"""Jobs that operators start by a task's own arguments: each is taken on record first, and is like any other then."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import redis
import structlog

from ballast.builtin.jobs import ChatAct
from ballast.inbox import Acceptance
from ballast.jobs import Job, JobInvalid, task_name
from ballast.queueing.envelope import Envelope, lane_by_field
from dbcore import keys
from dbcore.fingerprints import fingerprint
from workers.context import WorkerContext

log = structlog.get_logger(__name__)

J = TypeVar("J", bound=Job)

OPERATOR = "operator"
ACTOR_LENGTH_MAX = 64


class EnqueueFailed(Exception):
    """An operator's job could not be taken on record now: Celery's message is all there is of it, and must stay."""


def on_record(
    worker: WorkerContext, job_type: type[J], task_id: str, arguments: dict[str, Any]
) -> tuple[str, str | None]:
    """The job's id, and why it is refused where an operator's arguments make no job."""
    if arguments.keys() <= {"job_id", "place"} and isinstance(arguments.get("job_id"), str):
        return arguments["job_id"], None
    if issubclass(job_type, ChatAct):
        complaint = f"{task_name(job_type.kind)}: only a press or a command in the chat asks for this"
        log.error("arguments_refused", job_id=task_id, error=complaint)
        return task_id, complaint
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
