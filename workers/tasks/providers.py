"""Tasks of payments by providers beside Telegram: a checkout is made, what a provider tells is booked, and what it
never told is looked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog
from psycopg2.errors import UndefinedColumn, UndefinedTable

from ballast.alerts import notifier
from ballast.builtin import star_invoices
from ballast.builtin.providers import AskCheckout, RecordProviderDispute, RecordProviderPayment
from ballast.jobs import Discard
from ballast.messages import Message
from ballast.providers import installed, orders, sweeping
from ballast.providers.orders import Order
from ballast.providers.provider import GARBAGE, Checkout, Provider, ProviderError, Refused
from ballast.reconciling import providers as reconciling
from ballast.texts import gettext
from dbcore.errors import DatabaseAway
from dbcore.ledger import provider_payments
from dbcore.ledger.provider_payments import (
    Problem,
    ProviderCharge,
    ProviderDispute,
    ProviderEvent,
    ProviderOutcome,
)
from dbcore.outcomes import RejectionReason
from dbcore.redis_client import redis_time
from workers import provider_texts
from workers.celery import Task, upkeep
from workers.context import WorkerContext
from workers.task_context import AsyncStep, TaskContext
from workers.tasks.job_task import job_task
from workers.tasks.reconciliation import is_time

if TYPE_CHECKING:
    from telegram import Bot

log = structlog.get_logger(__name__)

RECONCILE_SECONDS_MAX = 60.0
"""For all that a provider lists of a month. `ballast reconcile --provider` takes what it needs."""


@job_task(AskCheckout)
def ask_checkout(task: TaskContext[AskCheckout]) -> list[Message] | AsyncStep:
    job, settings = task.job, task.settings
    provider = installed.providers(settings).get(job.provider)
    if provider is None or not star_invoices.are_on(settings):
        return task.answer(gettext("This bot does not accept payments yet. You have not been charged."))
    order = orders.of(job.telegram_id, job.amount, provider, settings)
    if orders.read(orders.write(order, settings), settings) != order:  # nobody has as much
        return task.answer(provider_texts.refused(provider))

    async def step(_: Bot | None) -> list[Message]:
        checkout = Checkout(
            order=orders.write(order, settings),
            price=order.price,
            title=provider_texts.title(order, settings),
            key=hashlib.sha256(task.job_id.encode()).hexdigest(),
        )
        try:
            url = await provider.checkout(checkout)
        except Refused as error:
            log.warning("checkout_refused", provider=job.provider, error=str(error))
            return task.answer(provider_texts.refused(provider))
        except (ProviderError, *GARBAGE) as error:
            log.warning(
                "checkout_unanswered", provider=job.provider, error=f"{type(error).__name__}: {error}"
            )
            return task.answer(provider_texts.unanswered(provider))
        finally:
            await provider.close()
        return task.answer(provider_texts.checkout(order, provider, url, settings))

    return step


@job_task(RecordProviderPayment)
def record(task: TaskContext[RecordProviderPayment]) -> list[Message]:
    """Once for its event. What contradicts an earlier word, or is not what the checkout asked for, is not booked, and
    the admins are told. Payments of others by the same account with the provider are only recorded.
    """
    job, settings = task.job, task.settings
    order = orders.read(job.order, settings)
    payment = sweeping.payment_of(job)
    is_kept = order is not None and orders.is_kept(order, payment, settings)
    outcome = provider_payments.book(
        task.engine,
        ProviderEvent(job.provider, job.event_id, job.mark, job.model_dump(mode="json")),
        _charge(job, order) if order is not None and is_kept else None,
        job_id=task.job_id,
        problem=Problem.NOT_AS_ASKED if order is not None and not is_kept else None,
    )
    task.note(outcome)
    provider = installed.providers(settings).get(job.provider)
    log.info("provider_payment", provider=job.provider, payment_id=job.payment_id, status=outcome.status)
    if outcome.contradicts or outcome.reason is RejectionReason.KEY_REUSED:
        _ring(task, "contradicts", lambda: provider_texts.contradiction(job, provider))
        return []
    if outcome.reason is not None:
        raise Discard(f"the payment {job.payment_id} by {job.provider} is not booked: {outcome.reason}")
    if order is None:
        return []
    if not is_kept:
        if outcome.event_is_new:
            _ring(task, "not-as-asked", lambda: provider_texts.not_as_asked(job, order, provider))
        return []
    return _told(task, order, outcome)


def _told(task: TaskContext[RecordProviderPayment], order: Order, outcome: ProviderOutcome) -> list[Message]:
    """A receipt of what this job credited or took back."""
    job, settings, balance = task.job, task.settings, outcome.balance or 0
    provider = installed.providers(settings).get(job.provider)
    disputed = _told_of_dispute(task, job, order.telegram_id, outcome.disputed, balance, provider)
    if not (outcome.credited or outcome.taken):
        return disputed
    if outcome.taken and balance < 0:
        _ring(task, "debt", lambda: provider_texts.debt_alarm(job, order, -balance, provider, settings))
    booked = task.to_other(order.telegram_id, lambda: provider_texts.booked(job, outcome, provider, settings))
    return [booked, *disputed]


@job_task(RecordProviderDispute)
def record_dispute(task: TaskContext[RecordProviderDispute]) -> list[Message]:
    """Once for its event. A dispute of another program's payment by the same account is only recorded."""
    job, settings = task.job, task.settings
    outcome = provider_payments.dispute(
        task.engine,
        ProviderEvent(job.provider, job.event_id, job.mark, job.model_dump(mode="json")),
        ProviderDispute(job.dispute_id, job.payment_id, job.disputed, job.paid_currency, job.state),
        job_id=task.job_id,
    )
    task.note(outcome)
    provider = installed.providers(settings).get(job.provider)
    log.info("provider_dispute", provider=job.provider, payment_id=job.payment_id, state=job.state)
    if outcome.reason is RejectionReason.KEY_REUSED:
        _ring(task, "contradicts", lambda: provider_texts.contradiction(job, provider))
        return []
    if outcome.reason is not None:
        raise Discard(f"the dispute {job.dispute_id} by {job.provider} is not booked: {outcome.reason}")
    return _told_of_dispute(task, job, outcome.telegram_id, outcome.taken, outcome.balance or 0, provider)


def _told_of_dispute(
    task: TaskContext[Any],
    job: RecordProviderPayment | RecordProviderDispute,
    payer: int | None,
    taken: int,
    balance: int,
    provider: Provider | None,
) -> list[Message]:
    if payer is None or not taken:
        return []
    settings = task.settings
    if taken > 0:
        _ring(
            task,
            "disputed",
            lambda: provider_texts.dispute_alarm(job, payer, taken, balance, provider, settings),
        )
    return [task.to_other(payer, lambda: provider_texts.disputed(job.payment_id, taken, balance, settings))]


def _charge(job: RecordProviderPayment, order: Order) -> ProviderCharge:
    return ProviderCharge(
        payment_id=job.payment_id,
        telegram_id=order.telegram_id,
        paid=job.paid,
        paid_currency=job.paid_currency,
        amount=order.amount,
        refunded=min(job.refunded, job.paid),
        fee=job.fee,
        paid_at=job.paid_at,
    )


def _ring(task: TaskContext[Any], what: str, text: Callable[[], str]) -> None:
    """Once for the same words, however often the job runs."""
    job = task.job
    told = hashlib.sha256(f"{job.provider} {job.event_id} {job.mark}".encode()).hexdigest()[:16]
    log.warning("provider_payment_alarm", provider=job.provider, payment_id=job.payment_id, what=what)
    notifier.enqueue_payment(task.worker.redis, f"payment-{what}-{told}", text)


@upkeep(sweeping.TASK)
def sweep(task: Task, reconcile: bool = False) -> None:
    """Look for payments whose webhook never came, at each provider that is set up, and compare all that they list with
    the ledger once a day.

    reconcile -- in any case: `celery -A workers call workers.payments.sweep --kwargs '{"reconcile": true}'`.
    """
    worker = task.context
    try:
        sweeping.sweep(worker.settings, worker.engine)
        if sweeping.is_replaced():
            return
        for provider in installed.providers(worker.settings).values():
            _compare(worker, provider, now=reconcile)
    except DatabaseAway as error:
        log.warning("provider_sweep_waits", error=str(error))
    except (UndefinedColumn, UndefinedTable):
        log.error("provider_sweep_waits", lacks="the table provider_book", repair="python -m dbcore migrate")


def _compare(worker: WorkerContext, provider: Provider, *, now: bool) -> None:
    compared = reconciling.look_again(worker.engine, worker.redis, provider.name)
    if not (now or is_time(compared.at, redis_time(worker.redis), worker.settings)):
        return
    try:
        reconciling.run(
            worker.settings, worker.engine, worker.redis, provider, seconds_max=RECONCILE_SECONDS_MAX
        )
    except (ProviderError, TimeoutError, *GARBAGE) as error:
        told = f"{type(error).__name__}: {error}"
        log.warning("provider_reconciliation_broken_off", provider=provider.name, error=told)
