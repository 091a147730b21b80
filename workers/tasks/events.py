"""The task that sends events to EVENTS_URL. One that finds another at work ends at once."""

from __future__ import annotations

import redis
import structlog

from ballast import event_asking
from dbcore.errors import DatabaseAway
from workers.celery import Task, upkeep
from workers.events import EventSender

log = structlog.get_logger(__name__)


@upkeep(event_asking.TASK)
def send(task: Task) -> None:
    worker = task.context
    settings = worker.settings
    if settings.events_url is None:
        return
    sender = EventSender(
        worker.redis,
        worker.engine,
        worker.publisher,
        url=settings.events_url.get_secret_value(),
        secret=settings.events_secret_bytes,
    )
    try:
        if count := sender.run():
            log.info("events_sent", events=count)
    except DatabaseAway as away:
        log.info("events_wait", kind=away.kind)
    except redis.RedisError as error:
        log.warning("events_wait", error=type(error).__name__)
