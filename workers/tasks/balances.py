"""Tasks that show a balance, or change one: by an operator's order at once, by an admin's once it is confirmed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import structlog

from dbcore import keys, ledger, pending_adjustments, users
from dbcore.outcomes import Decision, OutcomeStatus, Party, RejectionReason
from dbcore.pending_adjustments import Limits
from dbcore.settings import Settings
from workers import adjustment_texts, texts
from workers.execution import Work
from workers.jobs import AdjustBalance, AskAdjustment, DecideAdjustment, ShowBalance
from workers.messages import Message
from workers.profiles import profile_of
from workers.tasks.job_task import job_task

log = structlog.get_logger(__name__)


@job_task(ShowBalance)
def show(work: Work[ShowBalance]) -> list[Message]:
    account = users.get_or_create(work.engine, profile=profile_of(work.job))
    work.note_read(account.telegram_id, account.balance, account.version)
    return work.answer(texts.balance(account, work.settings))


@job_task(AdjustBalance)
def adjust(work: Work[AdjustBalance]) -> list[Message]:
    job = work.job
    key, earlier_key = keys.of_job(work.job_id)
    outcome = ledger.adjust(
        work.engine,
        key=key,
        earlier_key=earlier_key,
        target=users.UserRef(telegram_id=job.telegram_id, username=job.username),
        amount=job.amount,
        memo=job.reason,
        actor=job.actor,
    )
    if outcome.reason is not None:
        log.warning("adjustment_refused", reason=outcome.reason, actor=job.actor)
    work.note(outcome)
    messages = work.answer(texts.adjusted(outcome, job, work.settings))
    told = {message.chat_id for message in messages}
    if outcome.target is not None and outcome.reason is None and outcome.target.telegram_id not in told:
        messages.append(
            Message(
                chat_id=outcome.target.telegram_id, text=texts.adjusted_for_you(outcome, job, work.settings)
            )
        )
    return messages


@job_task(AskAdjustment)
def ask_adjustment(work: Work[AskAdjustment]) -> list[Message]:
    job = work.job
    outcome = pending_adjustments.create(
        work.engine,
        key=work.job_id,
        admin_id=job.admin_id,
        target=users.UserRef(telegram_id=job.telegram_id, username=job.username),
        amount=job.amount,
        memo=job.reason,
        limits=_limits(work.settings),
    )
    _note(work, outcome.target, outcome.balance_now, outcome.version)
    if outcome.reason is not None:
        log.warning("adjustment_refused", reason=outcome.reason, admin_id=job.admin_id)
        return work.answer(adjustment_texts.refused(outcome, job, work.settings))
    if outcome.status is OutcomeStatus.REPLAYED and outcome.balance_now is not None:
        # Asked before, by a run whose card never came: it may have expired, and show a balance of then.
        pending_adjustments.show_again(work.engine, key=work.job_id, balance=outcome.balance_now)
        outcome = replace(outcome, balance=outcome.balance_now)
    return work.answer(
        adjustment_texts.to_confirm(outcome, job, work.settings), adjustment_texts.buttons(outcome.token)
    )


@job_task(DecideAdjustment)
def decide_adjustment(work: Work[DecideAdjustment]) -> list[Message]:
    job = work.job
    if job.telegram_id not in work.settings.admin_ids:
        return work.toast(adjustment_texts.NO_ADMIN_ANY_MORE, matters=False)
    outcome = pending_adjustments.decide(
        work.engine,
        key=work.job_id,
        token=job.token,
        presser_id=job.telegram_id,
        confirm=job.confirm,
        limits=_limits(work.settings),
        waited_seconds=work.waited_seconds,
    )
    _note(work, outcome.target, outcome.balance_now, outcome.version)
    if outcome.reason is not None:
        log.warning("adjustment_refused", reason=outcome.reason, admin_id=job.telegram_id)
    said = adjustment_texts.decided(outcome, work.settings)
    if not adjustment_texts.closes_the_card(outcome):
        return work.toast(said, matters=outcome.reason is RejectionReason.ALREADY_CANCELLED)
    messages = work.answer(said, edit=True)
    if outcome.decision is Decision.CONFIRMED and outcome.target is not None:
        target_id = outcome.target.telegram_id
        if target_id not in {message.chat_id for message in messages}:
            told = adjustment_texts.adjusted_for_you(outcome, work.settings)
            messages.append(Message(chat_id=target_id, text=told))
    return messages


def _limits(settings: Settings) -> Limits:
    return Limits(
        once=settings.minor_units(settings.credit_limit),
        per_day=settings.minor_units(settings.credit_limit_per_day),
    )


def _note(work: Work[Any], target: Party | None, balance: int | None, version: int | None) -> None:
    if target is not None and balance is not None and version is not None:
        work.note_read(target.telegram_id, balance, version)
