"""Tasks about which language somebody reads, and by which time zone."""

from __future__ import annotations

import structlog

from ballast.builtin.languages import ChooseLanguage, ChooseTimeZone
from ballast.messages import Message
from ballast.texts import speaking
from dbcore import operators
from dbcore.errors import DatabaseAway
from dbcore.ledger import users
from workers import texts
from workers.celery import Task, upkeep
from workers.task_context import TaskContext
from workers.tasks.job_task import job_task

log = structlog.get_logger(__name__)


@job_task(ChooseLanguage)
def choose_language(task: TaskContext[ChooseLanguage]) -> list[Message]:
    job = task.job
    account = users.choose_language(task.engine, profile=job.profile, language=job.language)
    task.note_account(account)
    chosen = task.languages.choose(job.telegram_id, job.language, job.language_code)
    with speaking(chosen, task.languages.zone_of(job.telegram_id)):
        return task.answer(texts.language_chosen(), edit=task.message_id is not None)


@job_task(ChooseTimeZone)
def choose_time_zone(task: TaskContext[ChooseTimeZone]) -> list[Message]:
    job = task.job
    account = users.choose_time_zone(task.engine, profile=job.profile, zone=job.zone)
    task.note_account(account)
    task.languages.choose_zone(job.telegram_id, job.zone)
    with speaking(task.language, job.zone):
        return task.answer(texts.time_zone_chosen(task.settings), edit=task.message_id is not None)


@upkeep("workers.users.restore_languages")
def restore_languages(task: Task) -> None:
    """Have Redis know what people chose, and who has which role, if it does not."""
    worker = task.context
    try:
        if not worker.inbox.roles.is_whole():
            given = operators.everybody(worker.engine)
            worker.inbox.roles.restore((each.telegram_id, each.role) for each in given)
    except DatabaseAway as away:
        log.info("roles_not_restored", kind=away.kind)
    languages = worker.inbox.languages
    if languages.is_whole():
        return
    try:
        for page in users.chosen_languages_and_zones(worker.engine):
            languages.restore(page)
    except DatabaseAway as away:
        log.info("languages_not_restored", kind=away.kind)
        return
    languages.note_whole()
    log.info("languages_restored")
