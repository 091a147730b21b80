"""Tasks of subscriptions: what Telegram says of a renewal is kept, what somebody wants of one is asked of Telegram, and
what has expired is noted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from psycopg2.errors import UndefinedTable

from ballast.builtin.subscriptions import ChangeRenewal, RecordRenewal, SubscriptionChanged, follows
from ballast.messages import Message
from ballast.queueing.snooze import Snoozed
from ballast.subscriptions import chat_texts, invoices, known
from ballast.telegram.subscriptions import turn_renewal
from dbcore import outbox
from dbcore.errors import DatabaseAway
from dbcore.fingerprints import fingerprint
from dbcore.ledger import star_subscriptions
from dbcore.ledger.star_subscriptions import ChangeKind, Renewal
from workers.broadcasts.broadcaster import NO_BOT_SECONDS
from workers.celery import Task, upkeep
from workers.task_context import AsyncStep, TaskContext
from workers.tasks.job_task import job_task

if TYPE_CHECKING:
    from telegram import Bot

log = structlog.get_logger(__name__)

SWEEP = "workers.subscriptions.sweep"

_ON_RECEIPTS = frozenset({ChangeKind.BEGUN, ChangeKind.RENEWED, ChangeKind.REFUNDED})


@job_task(RecordRenewal)
def record(task: TaskContext[RecordRenewal]) -> list[Message]:
    job = task.job
    invoice = invoices.said_in(job.payload)
    if invoice is None:
        log.warning("renewal_of_another_invoice", renewal=job.renewal)
        return []
    star_subscriptions.tell(
        task.engine,
        # Update ids begin anew at times, and these jobs have no date in theirs.
        key=fingerprint(task.job_id, job.telegram_id, job.payload, job.renewal),
        person=job.profile,
        invoice=invoice,
        renewal=Renewal(job.renewal),
        said_at=job.said_at,
        follows=follows,
    )
    outbox.announce()
    known.look_up(task.engine, task.worker.redis, job.telegram_id, invoice.plan)
    return []


@job_task(SubscriptionChanged)
def tell(task: TaskContext[SubscriptionChanged]) -> list[Message]:
    """The person, of what no receipt says."""
    job, settings = task.job, task.settings
    found = None if job.change in _ON_RECEIPTS else star_subscriptions.find(task.engine, job.number)
    if found is None:
        return []
    return [task.to_other(job.telegram_id, lambda: chat_texts.changed(found, job.change, settings))]


@job_task(ChangeRenewal)
def change(task: TaskContext[ChangeRenewal]) -> list[Message] | AsyncStep:
    engine, client = task.engine, task.worker.redis
    found = star_subscriptions.find(engine, task.job.number)
    if found is None or found.wanted_key is None:
        return []
    wanted_key, charges = found.wanted_key, star_subscriptions.charges(engine, found.number)

    def keep(refusal: str | None) -> None:
        star_subscriptions.answer(
            engine, number=found.number, wanted_key=wanted_key, refusal=refusal, follows=follows
        )
        known.look_up(engine, client, found.owner.telegram_id, found.plan)

    async def step(bot: Bot | None) -> list[Message]:
        if bot is None:
            raise Snoozed(NO_BOT_SECONDS)
        refusal = await turn_renewal(
            bot, found.owner.telegram_id, charges, cancelled=found.wanted == "cancelled"
        )
        await asyncio.to_thread(keep, refusal)
        log.info("renewal_changed", number=found.number, wanted=found.wanted, refusal=refusal)
        outbox.announce()
        return []

    return step


@upkeep(SWEEP)
def sweep(task: Task) -> None:
    engine, client = task.context.engine, task.context.redis
    try:
        expired = star_subscriptions.due(
            engine, asks=lambda number: ChangeRenewal(number=number), follows=follows
        )
        outbox.announce()
        for each in expired:
            known.look_up(engine, client, each.telegram_id, each.plan)
    except DatabaseAway as error:
        log.warning("subscription_sweep_waits", error=str(error))
    except UndefinedTable:
        log.error(
            "subscription_sweep_waits",
            error="the table star_subscriptions is missing: python -m dbcore migrate",
        )
