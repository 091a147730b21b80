"""The task that keeps what Telegram said of a payment."""

from __future__ import annotations

import hashlib
import json

import structlog

from ballast.alerts import notifier
from ballast.builtin.payments import RecordPayment
from ballast.messages import Message
from dbcore.ledger import payments
from dbcore.ledger.payments import PaymentEvent, PaymentKind, Recorded
from workers import payment_texts
from workers.tasks.job_task import job_task
from workers.work import Work

log = structlog.get_logger(__name__)


@job_task(RecordPayment)
def record(work: Work[RecordPayment]) -> list[Message]:
    """Once for its charge: told again by another update, it is neither recorded nor answered again. Told with another
    payer, amount or currency, it is not recorded, but people are told.
    """
    job = work.job
    event = PaymentEvent(
        kind=PaymentKind(job.event),
        charge_id=job.charge_id,
        telegram_id=job.telegram_id,
        amount=job.amount,
        currency=job.currency,
        payload=job.payload,
        details=job.details,
        said_at=job.said_at,
    )
    recorded = payments.record(work.engine, event, job_id=work.job_id)
    log.warning("payment_reported", event_kind=job.event, charge_id=job.charge_id, recorded=recorded)
    if recorded is Recorded.KNOWN:
        return []
    is_new = recorded is Recorded.NEW
    alarm = payment_texts.alarm if is_new else payment_texts.contradiction
    notifier.enqueue_payment(work.worker.redis, _event_id(job, recorded), lambda: alarm(job))
    return work.answer(payment_texts.receipt(job) if is_new else payment_texts.doubtful(job))


def _event_id(job: RecordPayment, recorded: Recorded) -> str:
    """The same for the same report, so that a job that runs again rings once. Each contradiction is one of its own."""
    told = json.dumps([job.charge_id, job.telegram_id, job.amount, job.currency])
    charge = hashlib.sha256(told.encode()).hexdigest()[:16]
    return f"payment-{job.event}-{recorded}-{charge}"
