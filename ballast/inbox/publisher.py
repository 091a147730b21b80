"""Puts messages for workers into Celery's queues, by the tasks' names: the fast path from the inbox to a worker."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import redis
import structlog

from ballast.jobs import task_name
from ballast.queueing.queues import QUEUES
from dbcore.redis_client import FIRST_WRITE_LUA

if TYPE_CHECKING:
    from ballast.inbox.records import Dispatch

log = structlog.get_logger(__name__)

_PUT_MANY = f"{FIRST_WRITE_LUA} for i, queue in ipairs(KEYS) do first_write('LPUSH', queue, ARGV[i]) end"
BEARERS_MARK = "+"
"""Behind the sequence in a message's header: its job is claimed for whoever takes this message."""

_JOB_ID, _JOB_ID_IN_BODY, _SEQUENCE, _TAG, _CLAIM = (uuid.uuid4().hex for _ in range(5))
"""What no message contains."""

_NO_CALLBACKS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class Publisher:
    """Puts Celery's messages into its queues. Celery's own way takes a millisecond for each: most of it is for what no
    job of ours has.

    Never raises for a Redis that is away, or a queue that only another release has: the job is on record, and the
    rescuer sees to it later.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._put_many = client.register_script(_PUT_MANY)

    def publish(self, dispatch: Dispatch) -> bool:
        """Whether Redis confirmed the message. A publish that failed may still have landed; a copy does no harm."""
        return self.publish_many([dispatch]) == 1

    def publish_many(self, dispatches: Sequence[Dispatch]) -> int:
        """Publish in this order and in one step; how many of the messages Redis confirmed."""
        known = [dispatch for dispatch in dispatches if dispatch.queue in QUEUES]
        for dispatch in dispatches:
            if dispatch.queue not in QUEUES:
                log.warning("publish_failed", job_id=dispatch.job_id, queue=dispatch.queue)
        if not known:
            return 0
        try:
            self._put_many(
                keys=[dispatch.queue for dispatch in known],
                args=[_message_of(dispatch) for dispatch in known],
            )
        except (redis.RedisError, OSError) as error:
            log.warning("publish_failed", job_id=known[0].job_id, jobs=len(known), error=type(error).__name__)
            return 0
        return len(known)

    def ask(self, task: str, *, queue: str, expires_seconds: float) -> bool:
        """Have a worker run a task that is no job, soon or not at all; whether Redis confirmed the message."""
        expires = datetime.now(UTC) + timedelta(seconds=expires_seconds)
        task_id, tag = str(uuid.uuid4()), str(uuid.uuid4())
        message = _message(task, task_id, queue, {}, tag=tag, expires=expires.isoformat())
        try:
            self._put_many(keys=[queue], args=[message])
        except (redis.RedisError, OSError) as error:
            log.warning("not_asked_for", task=task, error=type(error).__name__)
            return False
        return True


def _message_of(dispatch: Dispatch) -> str:
    *parts, end = message_parts(dispatch.job_id, dispatch.queue, dispatch.kind)
    return dispatch.sequence.join(parts) + "null" + end


def message_parts(job_id: str, queue: str, kind: str) -> list[str]:
    """A job's message in four parts. Between them belongs what only the inbox knows: the sequence twice, and in JSON
    the claim that the message bears, or null (`CarriedClaim`).
    """
    in_json = json.dumps(job_id)[1:-1]
    in_body = json.dumps(in_json)[1:-1]
    tag = str(uuid.uuid4())
    return [
        part.replace(_JOB_ID, in_json).replace(_JOB_ID_IN_BODY, in_body).replace(_TAG, tag)
        for part in _parts_of_any_job(queue, kind)
    ]


@cache
def _parts_of_any_job(queue: str, kind: str) -> list[str]:
    """The parts, with gaps where each job has its own."""
    named = {"job_id": _JOB_ID_IN_BODY, "place": _SEQUENCE}
    # On the wire a sequence is called `place`: by it claim.lua and workers/kombu_patches.py know a message of ours.
    message = _message(task_name(kind), _JOB_ID, queue, named, tag=_TAG, place=_SEQUENCE, claim=_CLAIM)
    before, after = message.split(json.dumps(_CLAIM))
    return [*before.split(_SEQUENCE), after]


def _message(task: str, task_id: str, queue: str, named: dict[str, str], *, tag: str, **headers: Any) -> str:
    """As Celery 5 and kombu put it into a Redis list: protocol 2, in JSON, but the body is a string and not base64."""
    return json.dumps(
        {
            "body": json.dumps([[], named, _NO_CALLBACKS]),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {
                "lang": "py",
                "task": task,
                "id": task_id,
                "root_id": task_id,
                "parent_id": None,
                "group": None,
                "eta": None,
                "expires": None,
                "retries": 0,
                "timelimit": [None, None],
                "argsrepr": "",  # workers/kombu_patches.py says what may be shown of them
                "kwargsrepr": "",
                "ignore_result": True,
                **headers,
            },
            "properties": {
                "correlation_id": task_id,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
                "delivery_tag": tag,
            },
        }
    )
