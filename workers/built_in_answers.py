"""What Ballast itself would have done, for an app's function in its place that says `ctx.built_in()`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ballast.apps.installed import INSTALLED
from ballast.apps.registered import Handler
from ballast.builtin.replacing import JOBS, SCHEDULED
from ballast.context import Database
from ballast.jobs import Job, JobInvalid, checked
from ballast.messages import Message
from ballast.replies import BuiltInAnswer
from dbcore.errors import UsageError
from dbcore.outcomes import RejectionReason
from workers import handlers
from workers.celery import app
from workers.task_context import AsyncStep, TaskContext

if TYPE_CHECKING:
    from telegram import Bot

_DATABASES: tuple[Database, ...] = ("none", "read", "write")
"""Each needs what the ones before it need."""


def built_in_of(handler: Handler, task: TaskContext[Job]) -> Callable[[Job | None], BuiltInAnswer] | None:
    """What `ctx.built_in` calls; None if the handler replaces nothing."""
    if handler.declared is not None:
        return partial(_do_own_job, task)
    periodic = INSTALLED.periodic.get(handler.kind)
    if periodic is None or periodic.replaces is None:
        return None
    periodic_task = app.tasks[SCHEDULED[periodic.replaces].task]

    def run(job: Job | None) -> BuiltInAnswer:
        if job is not None:
            raise UsageError(f"{handler.kind}: a periodic job has no fields: say ctx.built_in()")
        periodic_task()
        return BuiltInAnswer(None, [])

    return run


def _do_own_job(task: TaskContext[Job], job: Job | None) -> BuiltInAnswer:
    if job is not None and type(job) is not type(task.job):
        raise UsageError(f"ctx.built_in: expected a {type(task.job).__name__}, got {type(job).__name__}")
    declared, needed = INSTALLED.handlers[task.job.kind].database, JOBS[type(task.job)].database
    if _DATABASES.index(declared) < _DATABASES.index(needed):
        raise UsageError(
            f"{task.job.kind} is declared with database={declared!r}: ctx.built_in needs database={needed!r}"
        )
    try:
        own = task if job is None else replace(task, job=checked(job))
    except JobInvalid as invalid:
        raise UsageError(f"ctx.built_in: {invalid}") from None
    said = handlers.own_handler_of(task.job.kind).apply(own)
    outcome = task.outcomes[-1] if task.outcomes else None
    if outcome is not None and outcome.reason is RejectionReason.KEY_REUSED:
        # What Ballast would say of it is that nothing was moved, which is not true of the attempt before.
        raise UsageError(
            f"ctx.built_in: {task.job.kind} was done before with other fields: they must be the same in each attempt"
        )
    return BuiltInAnswer(outcome, said)


def among(messages: list[Message], steps: list[tuple[int, AsyncStep]]) -> AsyncStep:
    """What Ballast's own functions leave for the reply sender's loop, their answers among the others.

    steps -- each with how many messages are before what it answers.
    """

    async def run(bot: Bot | None) -> list[Message]:
        said, begin = [], 0
        for place, step in steps:
            said += [*messages[begin:place], *await step(bot)]
            begin = place
        return said + messages[begin:]

    return run
