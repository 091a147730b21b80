"""Tasks that refund payments in Stars: the payer's money is held, Telegram is asked, and what it says is booked.

press ──▶ refund_decide: held ──▶ refundStarPayment ──▶ yes, or done before: taken     (ledger_stars)
                                      │            └──▶ no: available again             (refund_refuse)
                                      └──▶ no good answer: asked again by the charge, however often
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from telegram.error import BadRequest, Forbidden, TelegramError

from ballast.builtin.refunds import AskRefund, DecideRefund, FinishRefund
from ballast.builtin.subscriptions import follows
from ballast.jobs import Discard
from ballast.messages import Message
from ballast.operators.permissions import Permission, may
from ballast.queueing.snooze import Snoozed
from ballast.telegram.calls import call
from ballast.telegram.errors import classify
from dbcore import outbox
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import star_refunds, star_subscriptions
from dbcore.ledger.star_refunds import RefundedPayment, RefundOutcome, RefundState
from dbcore.outcomes import Outcome
from workers import refund_texts
from workers.broadcasts.broadcaster import NO_BOT_SECONDS
from workers.task_context import AsyncStep, TaskContext
from workers.tasks.job_task import job_task

if TYPE_CHECKING:
    from telegram import Bot

log = structlog.get_logger(__name__)

ASK_AGAIN_SECONDS_MIN = 2.0


@job_task(AskRefund)
def ask_refund(task: TaskContext[AskRefund]) -> list[Message]:
    job, settings = task.job, task.settings
    if not job.by_payer and not may(settings.role_of(job.telegram_id), Permission.REFUND):
        raise Discard("only an admin refunds a payment of somebody else")
    outcome = star_refunds.create(
        task.engine,
        key=task.job_id,
        payment=job.payment,
        presser_id=job.telegram_id,
        actor=f"telegram:{job.telegram_id}",
        payer_within=timedelta(hours=settings.stars_refund_hours) if job.by_payer else None,
    )
    if outcome.reason is not None:
        return task.answer(refund_texts.refused(outcome, settings))
    return task.answer(
        refund_texts.to_confirm(outcome, by_payer=job.by_payer, settings=settings),
        refund_texts.buttons(outcome.token, job.telegram_id),
    )


@job_task(DecideRefund)
def refund(task: TaskContext[DecideRefund]) -> list[Message] | AsyncStep:
    job = task.job
    outcome = star_refunds.decide(
        task.engine,
        key=task.job_id,
        token=job.token,
        presser_id=job.telegram_id,
        is_admin=may(task.settings.role_of(job.telegram_id), Permission.REFUND),
        confirm=job.confirm,
        waited_seconds=task.waited_seconds,
    )
    if outcome.state is RefundState.CANCELLED and outcome.reason is None:
        return task.answer(refund_texts.cancelled(), edit=True)
    if outcome.reason is not None:
        said = refund_texts.refused(outcome, task.settings)
        if refund_texts.closes_the_card(outcome):
            return task.answer(said, edit=True)
        return task.toast(said, matters=False)
    return _finished(task, outcome, lambda text: task.answer(text, edit=True))


@job_task(FinishRefund)
def finish_refund(task: TaskContext[FinishRefund]) -> list[Message] | AsyncStep:
    outcome = star_refunds.decide(
        task.engine, key=task.job_id, token=task.job.token, presser_id=None, is_admin=True, confirm=True
    )
    if outcome.reason is not None:
        raise Discard(f"the payment is not refunded: {outcome.reason}")
    return _finished(task, outcome, lambda _: [])


def _finished(
    task: TaskContext[Any], outcome: RefundOutcome, answer: Callable[[str], list[Message]]
) -> AsyncStep | list[Message]:
    """Ask Telegram and book its answer. What was ended by an earlier run of the job is only said again."""
    payment, engine = outcome.payment, task.engine
    assert payment is not None  # noqa: S101  it was confirmed
    if outcome.state is RefundState.DONE:
        return answer(refund_texts.done(payment))
    if outcome.state is RefundState.REFUSED:
        return answer(refund_texts.refused_by_telegram(payment, outcome.said or ""))

    async def step(bot: Bot | None) -> list[Message]:
        if bot is None:
            raise Snoozed(NO_BOT_SECONDS)
        refusal = await _ask(bot, payment)
        if refusal is None:
            booked = await asyncio.to_thread(_book, engine, payment)
            if booked.reason is not None:
                raise Discard(f"Telegram refunded {payment.charge_id}, and it is not booked: {booked.reason}")
            outbox.announce()
            log.info("refunded", charge_id=payment.charge_id)
            return answer(refund_texts.done(payment))
        state = await asyncio.to_thread(star_refunds.refuse, engine, token=outcome.token, reason=refusal)
        log.warning("refund_refused", charge_id=payment.charge_id, error=refusal)
        if state is RefundState.DONE:  # Telegram's report of it was booked meanwhile
            return answer(refund_texts.done(payment))
        return answer(refund_texts.refused_by_telegram(payment, refusal))

    return step


def _book(engine: GuardedEngine, payment: RefundedPayment) -> Outcome:
    said_at = int(time.time())
    if not payment.is_of_subscription:
        return star_refunds.book_refund(engine, payment, said_at=said_at)
    return star_subscriptions.refund(
        engine,
        charge_id=payment.charge_id,
        payer_id=payment.payer.telegram_id,
        stars=payment.stars,
        said_at=said_at,
        follows=follows,
    )


async def _ask(bot: Bot, payment: RefundedPayment) -> str | None:
    """None if the Stars are given back, now or before; else why Telegram refuses. Raises Snoozed if nobody can know:
    asking again for the same charge is safe.
    """
    try:
        await call(
            bot,
            "refundStarPayment",
            {"user_id": payment.payer.telegram_id, "telegram_payment_charge_id": payment.charge_id},
        )
    except (BadRequest, Forbidden) as error:
        text = str(error)
        return None if "CHARGE_ALREADY_REFUNDED" in text.upper() else text
    except TelegramError as error:
        verdict = classify(error)
        log.warning("refund_unanswered", charge_id=payment.charge_id, error=type(error).__name__)
        raise Snoozed(max(ASK_AGAIN_SECONDS_MIN, verdict.retry_after_seconds)) from error
    return None
