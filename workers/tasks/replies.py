"""The task for answers that need no database: the frontend's own words, and answers that had to wait."""

from __future__ import annotations

from ballast.messages import Message
from workers.execution import Work
from workers.jobs import DeliverReply
from workers.tasks.job_task import job_task


@job_task(DeliverReply)
def deliver(work: Work[DeliverReply]) -> list[Message]:
    if work.job.notice_of is not None and not work.awaits_notice(work.job.notice_of):
        return []
    return list(work.job.messages)
