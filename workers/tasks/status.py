"""Tasks that tell an admin how all is, and carry out what an operator ordered on the status page. On the probe's queue,
so that they do not wait behind everybody's commands. The first needs no database; while that is unavailable, the second
is given back until it returns.
"""

from __future__ import annotations

from ballast.builtin.status import OperatorAction, ShowDatabaseStatus
from ballast.messages import Message
from ballast.queueing import failed_jobs
from ballast.queueing.failed_jobs import FailedJobRefused
from ballast.status import actions
from dbcore import admin_actions
from dbcore.admin_actions import DONE, AdminAction
from dbcore.broadcasts.broadcasts import BroadcastRefused
from workers import status_report as report
from workers.context import WorkerContext
from workers.task_context import TaskContext
from workers.tasks.job_task import job_task


@job_task(ShowDatabaseStatus)
def database_status(task: TaskContext[ShowDatabaseStatus]) -> list[Message]:
    if task.origin is None:
        return []
    found = report.read(task.worker.redis, budget=task.settings.db_connection_budget)
    said, picture = report.text(found, task.settings), report.picture(found, task.settings)
    return task.answer(said, picture=picture)


@job_task(OperatorAction)
def act(task: TaskContext[OperatorAction]) -> list[Message]:
    worker, job = task.worker, task.job
    order = AdminAction(job.action_id, job.actor, job.action, job.target, job.at, job.reason)
    outcome = admin_actions.outcome_of(task.engine, order.action_id)
    if outcome is None:
        outcome = _carried_out(worker, order)
        admin_actions.record(task.engine, order, outcome)
    elif outcome == DONE and order.action.startswith("broadcast."):
        worker.broadcaster.orders.take_up(int(order.target))
    actions.note(worker.redis, job, outcome)
    return []


def _carried_out(worker: WorkerContext, order: AdminAction) -> str:
    """What came of it. A refusal is the operator's to read, and no failure of the job."""
    orders = worker.broadcaster.orders
    try:
        match order.action.split("."):
            case ["dead_letter", "retry"]:
                failed_jobs.retry(worker.engine, worker.inbox, worker.publisher, order.target, order)
            case ["dead_letter", "discard"]:
                failed_jobs.discard(worker.engine, order.target, order)
            case ["broadcast", "pause"]:
                orders.pause(int(order.target), order)
            case ["broadcast", "resume"]:
                orders.resume(int(order.target), order)
            case ["broadcast", "cancel"]:
                orders.cancel(int(order.target), order)
    except (FailedJobRefused, BroadcastRefused) as refused:
        return f"refused: {refused}"
    return DONE
