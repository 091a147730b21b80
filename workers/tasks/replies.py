"""Tasks that need no database: answers, which are the frontend's own words or had to wait, and presses on buttons of
apps.
"""

from __future__ import annotations

from ballast.builtin.words import unknown_button
from ballast.messages import Message
from workers import process
from workers.app_buttons import AppButtons, job_id_of_button
from workers.execution import Work
from workers.inbox import Acceptance
from workers.jobs import INSTALLED, JOB_TYPES, DeliverReply, PressAppButton
from workers.tasks.apps import accept
from workers.tasks.job_task import job_task

NOT_YOURS = "This button belongs to somebody else."
PRESSED_BEFORE = "You already pressed this. It is done only once."


@job_task(DeliverReply)
def deliver(work: Work[DeliverReply]) -> list[Message]:
    if work.job.notice_of is not None and not work.awaits_notice(work.job.notice_of):
        return []
    return list(work.job.messages)


@job_task(PressAppButton)
def press(work: Work[PressAppButton]) -> list[Message]:
    """Have done what the button stands for: once, however often it is pressed."""
    pressed = AppButtons(process.current().redis).find(work.job.token)
    if pressed is None or pressed.kind not in INSTALLED.jobs:
        return work.toast(unknown_button(), matters=True)
    if pressed.owner_id != work.job.telegram_id:
        return work.toast(NOT_YOURS, matters=False)
    job = JOB_TYPES[pressed.kind].decode(pressed.fields)
    job_id = job_id_of_button(work.job.token)
    status = accept(work, job, job_id, pressed_message_id=work.message_id)
    if status is not Acceptance.ACCEPTED:
        return work.toast(PRESSED_BEFORE, matters=False)
    process.current().inbox.pass_notice(work.job_id, job_id)
    return []
