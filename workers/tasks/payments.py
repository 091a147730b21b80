"""The task that keeps what Telegram said of a payment, and books Stars that were paid by an invoice of this bot: to
their payer's balance, or for a subscription.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import structlog

from ballast.alerts import notifier
from ballast.builtin import star_invoices
from ballast.builtin.payments import RecordPayment, RecordStarReport
from ballast.builtin.subscriptions import follows
from ballast.jobs import Discard
from ballast.messages import Message
from ballast.subscriptions import charges, known
from ballast.texts import gettext
from dbcore import outbox
from dbcore.currencies import STARS
from dbcore.fingerprints import fingerprint
from dbcore.ledger import payments, star_payments, star_reports, star_subscriptions
from dbcore.ledger.payments import PaymentEvent, PaymentKind, Recorded
from dbcore.ledger.star_payments import StarCharge, StarOutcome
from dbcore.ledger.star_reports import StarReport, StarReportKind
from dbcore.ledger.star_subscriptions import SubscriptionCharge
from dbcore.outcomes import OutcomeStatus
from workers import payment_texts
from workers.task_context import TaskContext
from workers.tasks.job_task import job_task

log = structlog.get_logger(__name__)


@job_task(RecordPayment)
def record(task: TaskContext[RecordPayment]) -> list[Message]:
    """Once for its charge: told again by another update, it is neither recorded nor booked nor answered again. Told
    with another payer, amount or currency, it is not recorded, but people are told.
    """
    job = task.job
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
    recorded = payments.record(task.engine, event, job_id=task.job_id)
    log.warning("payment_reported", event_kind=job.event, charge_id=job.charge_id, recorded=recorded)
    subscription = charges.charge_of(job, task.settings)
    if recorded is not Recorded.CONTRADICTS and subscription is not None:
        return _subscribed(task, subscription, recorded)
    if recorded is not Recorded.CONTRADICTS and (charge := _charge_of(task)) is not None:
        # Known or not: the job that recorded it may have died before this, and a charge is booked once.
        booked = star_payments.book(task.engine, charge)
        return _told(task, booked, recorded)
    if recorded is Recorded.KNOWN:
        return []
    is_new = recorded is Recorded.NEW
    alarm = payment_texts.alarm if is_new else payment_texts.contradiction
    notifier.enqueue_payment(task.worker.redis, _event_id(job, recorded), lambda: alarm(job))
    said = payment_texts.receipt if is_new else payment_texts.doubtful
    return _to_payer(task, lambda: said(job))


@job_task(RecordStarReport)
def record_star_report(task: TaskContext[RecordStarReport]) -> list[Message]:
    job = task.job
    report = StarReport(job.report, job.telegram_id, job.what, job.stars, job.said_at)
    # Update ids begin anew at times, and of paid media Telegram names no date.
    key = fingerprint(task.job_id, job.telegram_id, job.report.value, job.what)
    star_reports.record(task.engine, report, key=key)
    log.info("star_report", report=job.report, stars=job.stars)
    if job.report is StarReportKind.PAID_MEDIA or task.origin is None:
        return []
    return task.answer(gettext("Thank you for the gift!"))


def _charge_of(task: TaskContext[RecordPayment]) -> StarCharge | None:
    """What is to be booked of Stars that were paid by an invoice of this bot."""
    job = task.job
    amount = _amount_of(task) if job.currency == STARS else None
    if amount is None:
        return None
    return StarCharge(
        kind=PaymentKind(job.event),
        charge_id=job.charge_id,
        payer=job.profile,
        stars=job.amount,
        amount=amount,
        payload=job.payload,
        said_at=job.said_at,
    )


def _amount_of(task: TaskContext[RecordPayment]) -> int | None:
    """The minor units that the Stars are worth: as the invoice promised. If its signature is of another token, as the
    charge was credited, or at today's rate: the Stars have come, whatever became of the token.
    """
    job, settings = task.job, task.settings
    invoice = star_invoices.read(job.payload, settings)
    if invoice is not None:
        is_as_written = (job.amount, settings.currency) == (invoice.stars, invoice.currency)
        return invoice.amount if is_as_written else None
    if star_invoices.stars_in(job.payload) != job.amount:
        return None
    known = star_payments.credited(task.engine, job.charge_id)
    if known is not None:
        return known[1] if known[0] == job.amount else None
    log.warning("invoice_of_another_token", charge_id=job.charge_id)
    return star_invoices.worth(job.amount, settings)


def _told(task: TaskContext[RecordPayment], booked: StarOutcome, recorded: Recorded) -> list[Message]:
    """A receipt, once. Raises Discard, so that an operator sees it, if the ledger cannot book it."""
    job = task.job
    task.note(booked)
    if booked.reason is not None:
        raise Discard(f"the Stars of charge {job.charge_id} are not booked: {booked.reason}")
    if recorded is Recorded.KNOWN and booked.status is OutcomeStatus.REPLAYED:
        return []
    if PaymentKind(job.event) is PaymentKind.REFUNDED and (booked.balance_after or 0) < 0:
        debt = -(booked.balance_after or 0)
        notifier.enqueue_payment(
            task.worker.redis,
            _event_id(job, recorded),
            lambda: payment_texts.debt_alarm(job, debt, task.settings),
        )
    return _to_payer(task, lambda: payment_texts.booked(job, booked, task.settings))


def _subscribed(
    task: TaskContext[RecordPayment], charge: SubscriptionCharge, recorded: Recorded
) -> list[Message]:
    """Begin or renew a subscription, or take a refunded period back. As `_told`."""
    job, engine = task.job, task.engine
    outcome = star_subscriptions.book(engine, charge, follows=follows)
    task.note(outcome)
    if outcome.reason is not None or outcome.plan is None:
        raise Discard(f"the Stars of charge {job.charge_id} are not booked: {outcome.reason}")
    outbox.announce()
    known.look_up(engine, task.worker.redis, job.telegram_id, outcome.plan)
    if recorded is Recorded.KNOWN and outcome.status is OutcomeStatus.REPLAYED:
        return []
    return _to_payer(task, lambda: payment_texts.subscribed(job, outcome, task.settings))


def _to_payer(task: TaskContext[RecordPayment], text: Callable[[], str]) -> list[Message]:
    """Where the report came from; in the payer's private chat if the reconciliation found what no update reported."""
    return task.answer(text()) if task.origin is not None else [task.to_other(task.job.telegram_id, text)]


def _event_id(job: RecordPayment, recorded: Recorded) -> str:
    """The same for the same report, so that a job that runs again rings once. Each contradiction is one of its own."""
    told = json.dumps([job.charge_id, job.telegram_id, job.amount, job.currency])
    charge = hashlib.sha256(told.encode()).hexdigest()[:16]
    return f"payment-{job.event}-{recorded}-{charge}"
