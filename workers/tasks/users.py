"""Tasks about who a user is."""

from __future__ import annotations

from ballast.builtin.users import GetOrCreateUser, Quarantine, SetUserStatus
from ballast.jobs import Discard
from ballast.messages import Message
from dbcore.ledger import users
from workers import texts
from workers.tasks.job_task import job_task
from workers.work import Work


@job_task(GetOrCreateUser)
def get_or_create(work: Work[GetOrCreateUser]) -> list[Message]:
    account = users.get_or_create(work.engine, profile=work.job.profile)
    work.note_account(account)
    return work.answer(texts.welcome(account, work.settings))


@job_task(SetUserStatus)
def set_status(work: Work[SetUserStatus]) -> list[Message]:
    users.set_status(work.engine, telegram_id=work.job.telegram_id, status=users.UserStatus(work.job.status))
    return []


@job_task(Quarantine)
def quarantine(work: Work[Quarantine]) -> list[Message]:
    """An unreadable update has no effect but its own dead letter, which the failure writes."""
    raise Discard(work.job.error)
