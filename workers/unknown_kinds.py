"""What becomes of a job whose kind this release does not know: it waits for workers that do, and not forever.

Such jobs come from a frontend that was deployed before its workers, and stay behind a release that was rolled back.
Celery drops the message; the record stays, and its user's lane with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
import structlog

from ballast.inbox import Dispatch, Inbox, Publisher
from ballast.queueing.queues import QUEUES
from dbcore import keys
from workers import parent

log = structlog.get_logger(__name__)

MALFORMED = "(malformed)"
"""For what is no kind: anything else in a message's task name may be somebody's text."""


def on_unknown_task(name: str | None, id: str | None, **_celery: Any) -> None:
    """Celery's `task_unknown`: this worker, in its parent process, was handed a message of a task it does not have.

    name, id -- None where the message has no text there: it is of no job.
    """
    if name is None or id is None:
        return
    try:
        client = parent.redis_client()
        see_to(Inbox(client), Publisher(client), id, name.removeprefix("workers."))
    except redis.RedisError as error:
        # It was published a moment ago, and the rescuer looks at it again.
        log.warning("unknown_kind_not_noted", job_id=id, error=type(error).__name__)


def publish(inbox: Inbox, publisher: Publisher, dispatches: Sequence[Dispatch]) -> int:
    """Publish jobs of any kind, in this order; how many of the messages Redis confirmed."""
    published = publisher.publish_many([dispatch for dispatch in dispatches if dispatch.queue in QUEUES])
    for dispatch in dispatches:
        if dispatch.queue not in QUEUES:  # nobody of this release works on it
            published += see_to(inbox, publisher, dispatch.job_id, dispatch.kind)
    return published


def see_to(inbox: Inbox, publisher: Publisher, job_id: str, kind: str) -> bool:
    """Have it tried again later, or failed now; whether it was failed."""
    if keys.KINDS.fullmatch(kind) is None:
        kind = MALFORMED  # for the log, and for the dead letter that operators read
    dispatch = inbox.unknown_kind(job_id, kind)
    log.error("unknown_kind", job_id=job_id, kind=kind, failed=dispatch is not None)
    return dispatch is not None and publisher.publish(dispatch)
