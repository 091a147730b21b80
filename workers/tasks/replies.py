"""Tasks that need no database: answers, which are the frontend's own words or had to wait, and presses on buttons of
apps.
"""

from __future__ import annotations

from collections.abc import Sequence

from ballast.apps.buttons import AppButtons, job_id_of_button
from ballast.apps.installed import INSTALLED
from ballast.builtin.replies import DeliverReply, PressAppButton
from ballast.builtin.words import unknown_button
from ballast.inbox import Acceptance
from ballast.messages import Message
from ballast.queueing.kinds import JOB_TYPES
from ballast.texts import gettext
from workers.task_context import TaskContext
from workers.tasks.apps import accept
from workers.tasks.job_task import job_task


def deliver_many(tasks: Sequence[TaskContext[DeliverReply]]) -> list[list[Message]]:
    """A notice that a job is saved is sent only while that is so."""
    told_of = {task.job.notice_of for task in tasks if task.job.notice_of is not None}
    awaiting = tasks[0].worker.inbox.awaiting_notice(told_of) if told_of else set()
    return [
        list(task.job.messages) if task.job.notice_of is None or task.job.notice_of in awaiting else []
        for task in tasks
    ]


@job_task(DeliverReply, many=deliver_many)
def deliver(task: TaskContext[DeliverReply]) -> list[Message]:
    return deliver_many([task])[0]


@job_task(PressAppButton)
def press(task: TaskContext[PressAppButton]) -> list[Message]:
    """Have done what the button stands for: once, however often it is pressed."""
    pressed = AppButtons(task.worker.redis).find(task.job.token)
    if pressed is None or pressed.kind not in INSTALLED.jobs:
        return task.toast(unknown_button(), matters=True)
    if pressed.owner_id != task.job.telegram_id:
        return task.toast(gettext("This button belongs to somebody else."), matters=False)
    job = JOB_TYPES[pressed.kind].decode(pressed.fields)
    job_id = job_id_of_button(task.job.token)
    status = accept(task, job, job_id, pressed_message_id=task.message_id)
    if status is not Acceptance.ACCEPTED:
        pressed_before = gettext("You already pressed this. It is done only once.")
        return task.toast(pressed_before, matters=False)
    task.worker.inbox.pass_notice(task.job_id, job_id)
    return []
