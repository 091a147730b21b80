"""Tasks that move money between users, and show what was moved."""

from __future__ import annotations

from collections.abc import Sequence

from ballast.apps.command_names import not_your_history
from ballast.builtin.transfers import CancelTransfers, CreateTransfer, DecideTransfer, ShowHistory
from ballast.messages import Message
from dbcore.ledger import history as history_pages
from dbcore.ledger import pending_transfers, users
from dbcore.outcomes import DecisionOutcome, OutcomeStatus, PendingOutcome, RejectionReason
from workers import texts
from workers.task_context import TaskContext, each_as_itself
from workers.tasks.job_task import job_task

HISTORY_PAGE_LENGTH = 8


def create_many(tasks: Sequence[TaskContext[CreateTransfer]]) -> list[list[Message]]:
    asks = [
        pending_transfers.Ask(
            key=task.job_id,
            sender=task.job.profile,
            recipient=users.UserRef.parse(task.job.recipient),
            amount=task.job.amount,
            currency=task.job.currency,
            memo=task.job.memo,
        )
        for task in tasks
    ]
    outcomes = pending_transfers.create_many(tasks[0].engine, asks)
    return each_as_itself(tasks, outcomes, _asked)


@job_task(CreateTransfer, many=create_many)
def create(task: TaskContext[CreateTransfer]) -> list[Message]:
    (answer,) = create_many([task])
    return answer


def _asked(task: TaskContext[CreateTransfer], outcome: PendingOutcome) -> list[Message]:
    settings = task.settings.in_currency(outcome.currency)
    task.note(outcome)
    if outcome.reason is not None:
        refused = texts.transfer_refused(outcome, task.job, settings)
        is_private = outcome.reason is RejectionReason.INSUFFICIENT_FUNDS
        return task.answer(refused) if is_private else task.answer_publicly(refused)
    if outcome.status is OutcomeStatus.REPLAYED:
        # Asked before, by a run whose question never came: it may have expired.
        pending_transfers.restart_expiry(task.engine, key=task.job_id)
    return task.answer_publicly(
        texts.transfer_to_confirm(outcome, task.job, settings),
        texts.transfer_buttons(outcome.token, task.job.telegram_id),
    )


def confirm_many(tasks: Sequence[TaskContext[DecideTransfer]]) -> list[list[Message]]:
    presses = [
        pending_transfers.Press(
            task.job_id, task.job.token, task.job.profile, task.job.confirm, task.waited_seconds
        )
        for task in tasks
    ]
    outcomes = pending_transfers.decide_many(tasks[0].engine, presses)
    tasks[0].languages.look_up(each.recipient.telegram_id for each in outcomes if each.recipient is not None)
    return each_as_itself(tasks, outcomes, _decided)


@job_task(DecideTransfer, many=confirm_many)
def confirm(task: TaskContext[DecideTransfer]) -> list[Message]:
    outcome = pending_transfers.decide(
        task.engine,
        key=task.job_id,
        token=task.job.token,
        presser=task.job.profile,
        confirm=task.job.confirm,
        waited_seconds=task.waited_seconds,
    )
    return _decided(task, outcome)


def _decided(task: TaskContext[DecideTransfer], outcome: DecisionOutcome) -> list[Message]:
    task.note(outcome)
    settings = task.settings.in_currency(outcome.currency)
    told = texts.decided(outcome, settings)
    if not texts.closes_the_question(outcome):
        # A stranger, or a second press. That somebody pressed Confirm on what /cancel ended must not go unsaid.
        return task.toast(told, matters=outcome.reason is RejectionReason.ALREADY_CANCELLED)
    messages = task.answer(told, edit=True)
    if task.origin is not None and task.origin.is_group:
        messages = task.answer_publicly(texts.decided_in_group(outcome, settings), edit=True)
        messages += task.answer(told)[:1] if texts.is_private(outcome) else []
    if outcome.recipient is not None and texts.money_moved(outcome):
        messages.append(
            task.to_other(outcome.recipient.telegram_id, lambda: texts.received(outcome, settings))
        )
    return messages


@job_task(CancelTransfers)
def cancel(task: TaskContext[CancelTransfers]) -> list[Message]:
    cancelled = pending_transfers.cancel_all(task.engine, key=task.job_id, sender_id=task.job.telegram_id)
    return task.answer(texts.cancelled(cancelled))


@job_task(ShowHistory)
def history(task: TaskContext[ShowHistory]) -> list[Message]:
    job = task.job
    if job.owner_telegram_id not in {None, job.telegram_id}:
        return task.toast(not_your_history(), matters=False)
    page = history_pages.page(
        task.engine,
        profile=job.profile,
        upto_version=job.upto_version,
        limit=HISTORY_PAGE_LENGTH,
        currency=job.currency,
    )
    task.note_read(job.telegram_id, page.balance, page.newest_version, page.currency)
    return task.answer(
        texts.history(page, task.settings.in_currency(page.currency)),
        texts.history_buttons(page, job.telegram_id, HISTORY_PAGE_LENGTH, job.currency),
        edit=task.message_id is not None,
    )
