"""The task that tells an admin how all is. On the probe's queue, for it needs no database and must not wait for one."""

from __future__ import annotations

from ballast.messages import Message
from workers import process, status_report
from workers.execution import Work
from workers.jobs import ShowDatabaseStatus
from workers.tasks.job_task import job_task


@job_task(ShowDatabaseStatus)
def database_status(work: Work[ShowDatabaseStatus]) -> list[Message]:
    if work.origin is None:
        return []
    report = status_report.read(process.current().redis, budget=work.settings.db_connection_budget)
    return work.answer(status_report.text(report), picture=status_report.picture(report))
