"""The tasks that send events to EVENTS_URL: what the database has to tell, where one that finds another at work ends at
once, and that it cannot be reached.
"""

from __future__ import annotations

import redis
import structlog

from ballast.queueing import event_asking
from dbcore.errors import DatabaseAway
from workers.celery import Task, upkeep
from workers.events import EventSender, OutageTeller, Webhook

log = structlog.get_logger(__name__)


@upkeep(event_asking.TASK)
def send(task: Task) -> None:
    worker = task.context
    webhook = Webhook.of(worker.settings)
    if webhook is None:
        return
    sender = EventSender(worker.redis, worker.engine, worker.publisher, webhook)
    try:
        if count := sender.run():
            log.info("events_sent", events=count)
    except DatabaseAway as away:
        log.info("events_wait", kind=away.kind)
    except redis.RedisError as error:
        log.warning("events_wait", error=type(error).__name__)


@upkeep(event_asking.OUTAGE_TASK)
def tell_outage(task: Task) -> None:
    worker = task.context
    webhook = Webhook.of(worker.settings)
    if webhook is None:
        return
    try:
        if OutageTeller(worker.redis, webhook).tell():
            log.info("outage_told")
    except redis.RedisError as error:
        log.warning("outage_not_told", error=type(error).__name__)
