"""The tasks that compare Telegram's book of Stars with the ledger: each night, when beat's look finds that it is time,
and when an admin asks. A slice each, so that others get their turn; what is left is asked for anew.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import structlog
from psycopg2.errors import UndefinedTable

from ballast.apps.command_names import called
from ballast.builtin import star_invoices
from ballast.builtin.reconciliation import ReconcileStars
from ballast.messages import Message
from ballast.reconciling import reconciler, record
from ballast.reconciling.reconciler import ReconciliationRefused, UnderWay
from ballast.reconciling.record import Record
from ballast.telegram.stars import BookUnreadable
from ballast.texts import gettext
from dbcore.errors import DatabaseAway
from dbcore.redis_client import redis_time
from dbcore.settings import Settings
from workers import payment_texts
from workers.celery import Task, upkeep
from workers.context import WorkerContext
from workers.task_context import TaskContext
from workers.tasks.job_task import job_task

log = structlog.get_logger(__name__)

TASK = "workers.payments.reconcile"
SLICE_SECONDS = 3.0
ANSWER_SECONDS = 10.0


@upkeep(TASK)
def reconcile(task: Task, now: bool = False) -> None:
    """Go on with a reading that is under way, or begin one if it is time.

    now -- begin one in any case: `celery -A workers call workers.payments.reconcile --kwargs '{"now": true}'`.
    """
    worker = task.context
    known = record.read(worker.redis)
    try:
        if now or is_due(known, redis_time(worker.redis), worker.settings):
            _slice(worker)
        elif known.finished is not None and known.finished.open:
            reconciler.look_again(worker.engine, worker.redis)
    except (BookUnreadable, DatabaseAway) as error:
        log.warning("reconciliation_waits", error=str(error))
    except ReconciliationRefused as refused:
        log.info("reconciliation_refused", why=str(refused))
    except UndefinedTable:
        log.error("reconciliation_waits", error="the table star_book is missing: python -m dbcore migrate")


def _slice(worker: WorkerContext) -> None:
    done = reconciler.run(worker.settings, worker.engine, worker.redis, seconds_max=SLICE_SECONDS)
    if isinstance(done, UnderWay):
        worker.publisher.ask(TASK, queue="health", expires_seconds=600)


def is_due(known: Record, now: float, settings: Settings) -> bool:
    """Whether a reading was broken off, or none has begun since the last STARS_RECONCILE_AT."""
    if known.begun_at is not None:
        return True
    if not star_invoices.are_on(settings):
        return False
    return is_time(None if known.finished is None else known.finished.at, now, settings)


def is_time(last_at: float | None, now: float, settings: Settings) -> bool:
    """Whether nothing was compared since the last STARS_RECONCILE_AT. Seconds since 1970."""
    if settings.stars_reconcile_at == "never":
        return False
    here = datetime.fromtimestamp(now, ZoneInfo(settings.timezone))
    hour, minute = map(int, settings.stars_reconcile_at.split(":"))
    last = here.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if last > here:
        last -= timedelta(days=1)
    return last_at is None or last_at < last.timestamp()


@job_task(ReconcileStars)
def answer(task: TaskContext[ReconcileStars]) -> list[Message]:
    worker = task.worker
    try:
        done = reconciler.run(task.settings, task.engine, worker.redis, seconds_max=ANSWER_SECONDS)
    except BookUnreadable as error:
        log.warning("reconciliation_waits", error=str(error))
        return task.answer(gettext("Telegram did not answer. Please try again in a few minutes."))
    except ReconciliationRefused:
        return task.answer(
            gettext("An app of this bot books payments itself, so there is nothing to compare.")
        )
    if isinstance(done, UnderWay):
        worker.publisher.ask(TASK, queue="health", expires_seconds=600)
        return task.answer(payment_texts.reading(done.transactions, called("reconcile")))
    return task.answer(payment_texts.reconciled(done))
