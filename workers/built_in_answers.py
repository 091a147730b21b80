"""What Ballast itself would have done, for an app's function in its place that says `ctx.built_in()`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ballast.builtin.replacing import SCHEDULED
from ballast.jobs import Discard, Job
from ballast.messages import Message
from ballast.registered import Handler
from ballast.replies import BuiltInAnswer
from dbcore.errors import UsageError
from workers import handlers
from workers.celery import app
from workers.execution import Errand, JobFailed, Work
from workers.jobs import INSTALLED

if TYPE_CHECKING:
    from telegram import Bot


def built_in_of(handler: Handler, work: Work[Job]) -> Callable[[Job | None], BuiltInAnswer] | None:
    """What `ctx.built_in` calls; None if the handler replaces nothing."""
    if handler.declared is not None:
        return partial(_do_own_job, work)
    periodic = INSTALLED.periodic.get(handler.kind)
    if periodic is None or periodic.replaces is None:
        return None
    task = app.tasks[SCHEDULED[periodic.replaces].task]

    def run(job: Job | None) -> BuiltInAnswer:
        if job is not None:
            raise UsageError(f"{handler.kind}: a periodic job has no fields: say ctx.built_in()")
        task()
        return BuiltInAnswer(None, [])

    return run


def _do_own_job(work: Work[Job], job: Job | None) -> BuiltInAnswer:
    if job is not None and type(job) is not type(work.job):
        raise UsageError(f"ctx.built_in: expected a {type(work.job).__name__}, got {type(job).__name__}")
    own = work if job is None else replace(work, job=job)
    try:
        said = handlers.own_handler_of(work.job.kind).apply(own)
    except JobFailed as failed:
        raise Discard(str(failed)) from failed
    return BuiltInAnswer(work.outcomes[-1] if work.outcomes else None, said)


def among(messages: list[Message], errands: list[tuple[int, Errand]]) -> Errand:
    """What Ballast's own functions leave for the courier's loop, their answers among the others.

    errands -- each with how many messages are before what it answers.
    """

    async def run(bot: Bot | None) -> list[Message]:
        said, begin = [], 0
        for place, errand in errands:
            said += [*messages[begin:place], *await errand(bot)]
            begin = place
        return said + messages[begin:]

    return run
