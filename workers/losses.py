"""Messages whose processes were killed while they worked on them, counted so that one message cannot go on killing.

A job on record has its own limit of deliveries, counted by its claims. This one counts what comes before a claim, or
instead of one: Celery puts a message back without a limit when its process is lost.
"""

from __future__ import annotations

from typing import Any

import redis
import structlog

from ballast.inbox import Acceptance, Inbox, Publisher
from ballast.inbox.limits import SIZE_MAX
from ballast.queueing import loss_record
from ballast.queueing.envelope import Envelope
from ballast.queueing.kinds import JOB_TYPES
from dbcore import keys
from workers import parent
from workers.operator_jobs import as_an_operator_s

log = structlog.get_logger(__name__)

LOSSES_MAX = 5


def note(message_id: str, task: str, arguments: Any, by: str) -> bool:
    """A process was lost over this message. Whether the message has to go, because it is on record as a failed job.

    For a worker's parent process. False where Redis could not be asked: the message stays.
    """
    client = parent.redis_client()
    try:
        count = loss_record.count(client, message_id)
        log.error("process_lost", job_id=message_id, by=by, times=count, times_max=LOSSES_MAX)
        if count < LOSSES_MAX:
            return False
        if isinstance(arguments, dict) and "job_id" in arguments:
            return True  # on record: the rescuer publishes it again, and its claims are counted
        return _record(client, message_id, task.removeprefix("workers."), arguments, by)
    except redis.RedisError as error:
        log.warning("loss_not_noted", job_id=message_id, error=type(error).__name__)
        return False


def _record(client: redis.Redis, message_id: str, kind: str, arguments: Any, by: str) -> bool:
    """Keep an operator's call as a failed job. One that is on record by now goes on from there."""
    if kind not in JOB_TYPES or not isinstance(arguments, dict):
        return True  # a task that is no job, such as the probe, is started again by the clock
    key = arguments.get("idempotency_key")
    has_key = isinstance(key, str) and keys.OF_JOBS.fullmatch(key) is not None
    job_id = keys.job_id_of(str(key)) if has_key else message_id
    fields = {name: value for name, value in arguments.items() if name != "idempotency_key"}
    failure = f"ended {LOSSES_MAX} worker processes (the last one by {by})"
    try:
        envelope = Envelope(job_id=job_id, lane=f"task:{job_id}", kind=kind, fields=as_an_operator_s(fields))
        receipt = Inbox(client).accept(envelope, failure=failure, size_max=2 * SIZE_MAX)
    except ValueError as error:  # such as a text that is no Unicode
        log.error("call_not_recorded", job_id=job_id, error=type(error).__name__)
        return True
    if receipt.dispatch is not None:
        Publisher(client).publish(receipt.dispatch)
    return receipt.status not in {Acceptance.FULL, Acceptance.CROWDED}
