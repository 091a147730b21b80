"""The task that tells people what an operator did about their account."""

from __future__ import annotations

from ballast.builtin.people import TellUser
from ballast.messages import Message
from workers import people_texts
from workers.tasks.job_task import job_task
from workers.work import Work


@job_task(TellUser)
def tell_user(work: Work[TellUser]) -> list[Message]:
    return [work.to_other(work.job.telegram_id, lambda: people_texts.told(work.job, work.settings))]
