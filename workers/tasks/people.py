"""The task that tells people what an operator did about their account."""

from __future__ import annotations

from ballast.builtin.people import TellUser
from ballast.messages import Message
from workers import people_texts
from workers.task_context import TaskContext
from workers.tasks.job_task import job_task


@job_task(TellUser)
def tell_user(task: TaskContext[TellUser]) -> list[Message]:
    return [task.to_other(task.job.telegram_id, lambda: people_texts.told(task.job, task.settings))]
