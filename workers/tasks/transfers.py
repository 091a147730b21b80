"""Tasks that move money between users, and show what was moved."""

from __future__ import annotations

from ballast.apps.command_names import not_your_history
from ballast.builtin.transfers import CancelTransfers, CreateTransfer, DecideTransfer, ShowHistory
from ballast.messages import Message
from dbcore.ledger import history as history_pages
from dbcore.ledger import pending_transfers, users
from dbcore.outcomes import OutcomeStatus, RejectionReason
from workers import texts
from workers.tasks.job_task import job_task
from workers.work import Work

HISTORY_PAGE_LENGTH = 8


@job_task(CreateTransfer)
def create(work: Work[CreateTransfer]) -> list[Message]:
    outcome = pending_transfers.create(
        work.engine,
        key=work.job_id,
        sender=work.job.profile,
        recipient=users.UserRef.parse(work.job.recipient),
        amount=work.job.amount,
        currency=work.job.currency,
        memo=work.job.memo,
    )
    settings = work.settings.in_currency(outcome.currency)
    work.note(outcome)
    if outcome.reason is not None:
        refused = texts.transfer_refused(outcome, work.job, settings)
        is_private = outcome.reason is RejectionReason.INSUFFICIENT_FUNDS
        return work.answer(refused) if is_private else work.answer_publicly(refused)
    if outcome.status is OutcomeStatus.REPLAYED:
        # Asked before, by a run whose question never came: it may have expired.
        pending_transfers.restart_expiry(work.engine, key=work.job_id)
    return work.answer_publicly(
        texts.transfer_to_confirm(outcome, work.job, settings),
        texts.transfer_buttons(outcome.token, work.job.telegram_id),
    )


@job_task(DecideTransfer)
def confirm(work: Work[DecideTransfer]) -> list[Message]:
    outcome = pending_transfers.decide(
        work.engine,
        key=work.job_id,
        token=work.job.token,
        presser=work.job.profile,
        confirm=work.job.confirm,
        waited_seconds=work.waited_seconds,
    )
    work.note(outcome)
    settings = work.settings.in_currency(outcome.currency)
    told = texts.decided(outcome, settings)
    if not texts.closes_the_question(outcome):
        # A stranger, or a second press. That somebody pressed Confirm on what /cancel ended must not go unsaid.
        return work.toast(told, matters=outcome.reason is RejectionReason.ALREADY_CANCELLED)
    messages = work.answer(told, edit=True)
    if work.origin is not None and work.origin.is_group:
        messages = work.answer_publicly(texts.decided_in_group(outcome, settings), edit=True)
        messages += work.answer(told)[:1] if texts.is_private(outcome) else []
    if outcome.recipient is not None and texts.money_moved(outcome):
        messages.append(
            work.to_other(outcome.recipient.telegram_id, lambda: texts.received(outcome, settings))
        )
    return messages


@job_task(CancelTransfers)
def cancel(work: Work[CancelTransfers]) -> list[Message]:
    cancelled = pending_transfers.cancel_all(work.engine, key=work.job_id, sender_id=work.job.telegram_id)
    return work.answer(texts.cancelled(cancelled))


@job_task(ShowHistory)
def history(work: Work[ShowHistory]) -> list[Message]:
    job = work.job
    if job.owner_telegram_id not in {None, job.telegram_id}:
        return work.toast(not_your_history(), matters=False)
    page = history_pages.page(
        work.engine,
        profile=job.profile,
        upto_version=job.upto_version,
        limit=HISTORY_PAGE_LENGTH,
        currency=job.currency,
    )
    work.note_read(job.telegram_id, page.balance, page.newest_version, page.currency)
    return work.answer(
        texts.history(page, work.settings.in_currency(page.currency)),
        texts.history_buttons(page, job.telegram_id, HISTORY_PAGE_LENGTH, job.currency),
        edit=work.message_id is not None,
    )
