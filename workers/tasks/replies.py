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
from workers.tasks.apps import accept
from workers.tasks.job_task import job_task
from workers.work import Work


def deliver_many(works: Sequence[Work[DeliverReply]]) -> list[list[Message]]:
    """A notice that a job is saved is sent only while that is so."""
    told_of = {work.job.notice_of for work in works if work.job.notice_of is not None}
    awaiting = works[0].worker.inbox.awaiting_notice(told_of) if told_of else set()
    return [
        list(work.job.messages) if work.job.notice_of is None or work.job.notice_of in awaiting else []
        for work in works
    ]


@job_task(DeliverReply, many=deliver_many)
def deliver(work: Work[DeliverReply]) -> list[Message]:
    return deliver_many([work])[0]


@job_task(PressAppButton)
def press(work: Work[PressAppButton]) -> list[Message]:
    """Have done what the button stands for: once, however often it is pressed."""
    pressed = AppButtons(work.worker.redis).find(work.job.token)
    if pressed is None or pressed.kind not in INSTALLED.jobs:
        return work.toast(unknown_button(), matters=True)
    if pressed.owner_id != work.job.telegram_id:
        return work.toast(gettext("This button belongs to somebody else."), matters=False)
    job = JOB_TYPES[pressed.kind].decode(pressed.fields)
    job_id = job_id_of_button(work.job.token)
    status = accept(work, job, job_id, pressed_message_id=work.message_id)
    if status is not Acceptance.ACCEPTED:
        pressed_before = gettext("You already pressed this. It is done only once.")
        return work.toast(pressed_before, matters=False)
    work.worker.inbox.pass_notice(work.job_id, job_id)
    return []
