"""Tasks of operators: a code to sign in to the page with, and who has which role."""

from __future__ import annotations

import time

import structlog

from ballast.builtin.operators import GrantRole, ShowRoles, SignIn
from ballast.builtin.words import not_permitted
from ballast.messages import Message
from ballast.operators import roles as operators
from ballast.operators.permissions import Permission, may
from ballast.operators.roles import CODE_SECONDS, SigningIn
from ballast.texts import said
from ballast.texts.phrases import identified
from dbcore import operators as granted
from dbcore.admin_actions import AdminAction
from dbcore.ledger.users import UserRef
from dbcore.operators import RoleRefused
from dbcore.outcomes import Party
from dbcore.people import card
from dbcore.people.person import Person
from dbcore.text import one_line
from workers import operator_texts as texts
from workers.task_context import TaskContext
from workers.tasks.job_task import job_task

log = structlog.get_logger(__name__)

NAME_LENGTH_MAX = 64


@job_task(SignIn)
def sign_in(task: TaskContext[SignIn]) -> list[Message]:
    job = task.job
    if not may(task.settings.role_of(job.telegram_id), Permission.SEE_STATUS):
        return task.answer(not_permitted())
    name = f"@{job.username}" if job.username else one_line(job.first_name, NAME_LENGTH_MAX)
    code = operators.make_code(task.worker.redis, SigningIn(job.telegram_id, name))
    return task.answer(texts.code(code, CODE_SECONDS))


@job_task(ShowRoles)
def show_roles(task: TaskContext[ShowRoles]) -> list[Message]:
    settings = task.settings
    if not may(settings.role_of(task.job.telegram_id), Permission.GRANT_ROLES):
        return task.answer(not_permitted())
    given = {each.telegram_id: each.role for each in granted.everybody(task.engine)}
    everybody = sorted({*given, *settings.operator_ids})
    shown = []
    for telegram_id in everybody:
        person = card.find(task.engine, UserRef(telegram_id=telegram_id))
        role = settings.role_of(telegram_id) or given[telegram_id]
        shown.append((str(telegram_id) if person is None else _name(person), role))
    return task.answer(texts.roles(shown))


@job_task(GrantRole)
def grant_role(task: TaskContext[GrantRole]) -> list[Message]:
    job = task.job
    if not may(task.settings.role_of(job.telegram_id), Permission.GRANT_ROLES):
        return task.answer(not_permitted())
    person = card.find(task.engine, UserRef.parse(job.person))
    if person is None:
        return task.answer(texts.nobody(job.person))
    name = _name(person)
    if task.worker.settings.role_of(person.telegram_id) is not None:
        return task.answer(texts.is_in_settings(name))
    action = AdminAction(
        f"role.grant {task.job_id}",
        f"telegram:{job.telegram_id}",
        "role.take" if job.role is None else "role.grant",
        str(person.telegram_id),
        time.time(),
        job.reason,
    )
    try:
        role = granted.grant(task.engine, action, telegram_id=person.telegram_id, role=job.role)
    except RoleRefused as refused:
        return task.answer(said(refused))
    task.worker.inbox.roles.put(person.telegram_id, role)
    log.info("role_granted", actor=action.actor, role=None if role is None else role.value)
    return task.answer(texts.granted(name, role))


def _name(person: Person) -> str:
    return identified(Party(person.telegram_id, person.username, person.first_name))
