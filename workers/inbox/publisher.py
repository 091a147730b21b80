"""Hands a job's id to Celery, by the task's name: the fast path from the inbox to a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kombu.exceptions
import redis
import structlog
from celery.exceptions import QueueNotFound

from workers.jobs import task_name

if TYPE_CHECKING:
    from celery import Celery

    from workers.inbox.inbox import Ticket

log = structlog.get_logger(__name__)


class Publisher:
    """Never raises for a broker that is away, or a queue that only another release has: the job is on record, and the
    rescuer sees to it later.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    def publish(self, ticket: Ticket) -> bool:
        """Whether Redis confirmed the message. A publish that failed may still have landed; a copy does no harm."""
        try:
            self._app.send_task(
                task_name(ticket.kind),
                kwargs={"job_id": ticket.job_id, "place": ticket.place},
                task_id=ticket.job_id,
                queue=ticket.queue,
                ignore_result=True,
                retry=False,
            )
        except (kombu.exceptions.OperationalError, redis.RedisError, OSError, QueueNotFound) as error:
            log.warning(
                "publish_failed", job_id=ticket.job_id, queue=ticket.queue, error=type(error).__name__
            )
            return False
        return True
