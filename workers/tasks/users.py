"""Tasks about who a user is."""

from __future__ import annotations

from ballast.builtin.users import GetOrCreateUser, Quarantine, SetUserStatus
from ballast.jobs import Discard
from ballast.messages import Message
from dbcore.ledger import users
from workers import texts
from workers.task_context import TaskContext
from workers.tasks.job_task import job_task


@job_task(GetOrCreateUser)
def get_or_create(task: TaskContext[GetOrCreateUser]) -> list[Message]:
    account = users.get_or_create(task.engine, profile=task.job.profile)
    task.note_account(account)
    return task.answer(texts.welcome(account, task.settings))


@job_task(SetUserStatus)
def set_status(task: TaskContext[SetUserStatus]) -> list[Message]:
    users.set_status(task.engine, telegram_id=task.job.telegram_id, status=users.UserStatus(task.job.status))
    return []


@job_task(Quarantine)
def quarantine(task: TaskContext[Quarantine]) -> list[Message]:
    """An unreadable update has no effect but its own dead letter, which the failure writes."""
    raise Discard(task.job.error)
