"""Tasks that show a balance, or change one: by an operator's order at once, by an admin's once it is confirmed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import structlog

from ballast.builtin.approvals import AskApproval
from ballast.builtin.balances import AdjustBalance, AskAdjustment, DecideAdjustment, ShowBalance
from ballast.builtin.words import not_permitted
from ballast.jobs import Discard
from ballast.messages import Button, Message
from ballast.operators.permissions import Permission, may
from ballast.people import approval_texts
from ballast.replies import Button as JobButton
from dbcore import keys
from dbcore.ledger import ledger, pending_adjustments, users
from dbcore.ledger.pending_adjustments import Limits
from dbcore.outcomes import (
    AdjustmentDecisionOutcome,
    Decision,
    OutcomeStatus,
    PendingAdjustmentOutcome,
    RejectionReason,
)
from dbcore.people.reasons import in_words
from workers import adjustment_texts, texts
from workers.job_buttons import keep
from workers.task_context import TaskContext, each_as_itself
from workers.tasks.job_task import job_task

log = structlog.get_logger(__name__)


def show_many(tasks: Sequence[TaskContext[ShowBalance]]) -> list[list[Message]]:
    accounts = users.get_or_create_many(tasks[0].engine, profiles=[task.job.profile for task in tasks])
    return each_as_itself(tasks, accounts, _shown)


@job_task(ShowBalance, many=show_many)
def show(task: TaskContext[ShowBalance]) -> list[Message]:
    return _shown(task, users.get_or_create(task.engine, profile=task.job.profile))


def _shown(task: TaskContext[ShowBalance], account: users.UserAccount) -> list[Message]:
    task.note_account(account)
    return task.answer(texts.balance(account, task.settings))


@job_task(AdjustBalance)
def adjust(task: TaskContext[AdjustBalance]) -> list[Message]:
    job = task.job
    key, earlier_key = keys.of_job(task.job_id)
    outcome = ledger.adjust(
        task.engine,
        key=key,
        earlier_key=earlier_key,
        target=users.UserRef(telegram_id=job.telegram_id, username=job.username),
        amount=job.amount,
        memo=job.reason,
        actor=job.actor,
        currency=job.currency,
    )
    settings = task.settings.in_currency(outcome.currency)
    if outcome.reason is not None:
        log.warning("adjustment_refused", reason=outcome.reason, actor=job.actor)
    task.note(outcome)
    if outcome.reason is not None and task.origin is None:
        # Whoever called the task looks among failed jobs: there is nobody else who could be told.
        raise Discard(f"refused, {outcome.reason.value}: {in_words(outcome.reason.value)}")
    messages = task.answer(texts.adjusted(outcome, job, settings))
    told = {message.chat_id for message in messages}
    if outcome.target is not None and outcome.reason is None and outcome.target.telegram_id not in told:
        messages.append(
            task.to_other(
                outcome.target.telegram_id,
                lambda: texts.adjusted_for_you(job.amount, outcome.balance_after, job.reason, settings),
            )
        )
    return messages


def ask_adjustments(tasks: Sequence[TaskContext[AskAdjustment]]) -> list[list[Message]]:
    asks = [
        pending_adjustments.Ask(
            key=task.job_id,
            admin_id=task.job.admin_id,
            target=users.UserRef(telegram_id=task.job.telegram_id, username=task.job.username),
            amount=task.job.amount,
            memo=task.job.reason,
            currency=task.job.currency,
            limits=_limits(task, task.job.admin_id),
        )
        for task in tasks
    ]
    return each_as_itself(tasks, pending_adjustments.create_many(tasks[0].engine, asks), _asked)


@job_task(AskAdjustment, many=ask_adjustments)
def ask_adjustment(task: TaskContext[AskAdjustment]) -> list[Message]:
    (answer,) = ask_adjustments([task])
    return answer


def _asked(task: TaskContext[AskAdjustment], outcome: PendingAdjustmentOutcome) -> list[Message]:
    job = task.job
    settings = task.settings.in_currency(outcome.currency)
    _note(task, outcome)
    if outcome.reason is not None:
        log.warning("adjustment_refused", reason=outcome.reason, admin_id=job.admin_id)
        return task.answer(adjustment_texts.refused(outcome, job, settings), _ask_an_owner(task, outcome))
    if outcome.status is OutcomeStatus.REPLAYED and outcome.balance_now is not None:
        # Asked before, by a run whose card never came: it may have expired, and show a balance of then.
        pending_adjustments.show_again(task.engine, key=task.job_id, balance=outcome.balance_now)
        outcome = replace(outcome, balance=outcome.balance_now)
    return task.answer(
        adjustment_texts.to_confirm(outcome, job, settings),
        adjustment_texts.buttons(outcome.token, job.admin_id),
    )


def _ask_an_owner(
    task: TaskContext[AskAdjustment], outcome: PendingAdjustmentOutcome
) -> Sequence[Sequence[Button]]:
    """Under a refusal for a limit."""
    above = {RejectionReason.OVER_LIMIT, RejectionReason.OVER_DAILY_LIMIT}
    if outcome.reason not in above or outcome.target is None:
        return ()
    job = task.job
    asked = AskApproval(
        telegram_id=job.admin_id,
        person=outcome.target.telegram_id,
        amount=job.amount,
        currency=job.currency,
        reason=job.reason,
    )
    button = JobButton(approval_texts.ask_an_owner(), asked)
    return keep(task.worker.redis, task.job_id, [[button]], job.admin_id)


def decide_adjustments(tasks: Sequence[TaskContext[DecideAdjustment]]) -> list[list[Message]]:
    own = [task for task in tasks if _may_still(task)]
    outcomes: Iterator[AdjustmentDecisionOutcome] = iter(())
    if own:
        presses = [
            pending_adjustments.Press(
                task.job_id,
                task.job.token,
                task.job.telegram_id,
                task.job.confirm,
                task.waited_seconds,
                _limits(task, task.job.telegram_id),
            )
            for task in own
        ]
        decided = pending_adjustments.decide_many(own[0].engine, presses)
        own[0].languages.look_up(each.target.telegram_id for each in decided if each.target is not None)
        outcomes = iter(decided)
    each = [next(outcomes) if _may_still(task) else None for task in tasks]
    return each_as_itself(
        tasks, each, lambda task, outcome: _refused(task) if outcome is None else _decided(task, outcome)
    )


@job_task(DecideAdjustment, many=decide_adjustments)
def decide_adjustment(task: TaskContext[DecideAdjustment]) -> list[Message]:
    job = task.job
    if not _may_still(task):
        return _refused(task)
    outcome = pending_adjustments.decide(
        task.engine,
        key=task.job_id,
        token=job.token,
        presser_id=job.telegram_id,
        confirm=job.confirm,
        limits=_limits(task, job.telegram_id),
        waited_seconds=task.waited_seconds,
    )
    return _decided(task, outcome)


def _limits(task: TaskContext[Any], admin_id: int) -> Limits:
    return Limits.of(task.settings, task.settings.role_of(admin_id))


def _may_still(task: TaskContext[DecideAdjustment]) -> bool:
    return may(task.settings.role_of(task.job.telegram_id), Permission.ADJUST)


def _refused(task: TaskContext[DecideAdjustment]) -> list[Message]:
    return task.toast(not_permitted(), matters=False)


def _decided(task: TaskContext[DecideAdjustment], outcome: AdjustmentDecisionOutcome) -> list[Message]:
    job = task.job
    _note(task, outcome)
    if outcome.reason is not None:
        log.warning("adjustment_refused", reason=outcome.reason, admin_id=job.telegram_id)
    settings = task.settings.in_currency(outcome.currency)
    said = adjustment_texts.decided(outcome, job.telegram_id, settings)
    if not adjustment_texts.closes_the_card(outcome):
        return task.toast(said, matters=outcome.reason is RejectionReason.ALREADY_CANCELLED)
    messages = task.answer(said, edit=True)
    if outcome.decision is Decision.CONFIRMED and outcome.target is not None:
        target_id = outcome.target.telegram_id
        if target_id not in {message.chat_id for message in messages}:
            amount, memo = outcome.amount or 0, outcome.memo or ""
            messages.append(
                task.to_other(
                    target_id,
                    lambda: texts.adjusted_for_you(amount, outcome.balance_after, memo, settings),
                )
            )
    return messages


def _note(task: TaskContext[Any], outcome: PendingAdjustmentOutcome | AdjustmentDecisionOutcome) -> None:
    task.note(outcome)
    if outcome.target is not None and outcome.balance_now is not None and outcome.version is not None:
        task.note_read(outcome.target.telegram_id, outcome.balance_now, outcome.version, outcome.currency)
