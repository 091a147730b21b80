"""Tasks that show a balance, or change one by an admin's word."""

from __future__ import annotations

import structlog

from dbcore import keys, ledger, users
from workers import texts
from workers.execution import Work
from workers.jobs import AdjustBalance, ShowBalance
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
