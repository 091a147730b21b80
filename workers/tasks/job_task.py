"""What makes a Celery task out of a function from a job to its answer, or to a step for the reply sender."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import structlog
from celery.exceptions import Reject

from ballast.apps.installed import INSTALLED
from ballast.inbox import CarriedClaim
from ballast.jobs import Discard, Job, task_name
from ballast.messages import Message
from workers import handlers
from workers.celery import app
from workers.executor import execute
from workers.handlers import Handler
from workers.operator_jobs import EnqueueFailed
from workers.task_context import AsyncStep, TaskContext

log = structlog.get_logger(__name__)

J = TypeVar("J", bound=Job)

NOT_ON_RECORD_SECONDS = 1.0

Apply = Callable[[TaskContext[J]], list[Message] | AsyncStep]
Many = Callable[[Sequence[TaskContext[J]]], Sequence[list[Message] | Exception]]


def job_task(job_type: type[J], *, many: Many[J] | None = None) -> Callable[[Apply[J]], Apply[J]]:
    """Decorates what does a job of Ballast's own, unless an app replaces it or switches it off. The function makes one
    call into dbcore and survives being run twice.

    many -- does several of them by one call into dbcore and one transaction, for the answer of each, or for what it
        alone would have raised. If it raises, they are done again in halves.
    """

    def register(apply: Apply[J]) -> Apply[J]:
        handler = Handler(job_type, apply, many)
        handlers.register_own(handler)
        if job_type.kind not in INSTALLED.taken_away:
            make_task(handler)
        return apply

    return register


def make_task(handler: Handler) -> None:
    """Register `workers.<kind>`."""

    # Positional arguments are taken only to be refused with a dead letter: Celery itself would drop the job.
    def run(task: Any, *positional: Any, **arguments: Any) -> None:
        if positional:
            arguments = {**arguments, "positional_arguments": list(positional)}
        queue = (task.request.delivery_info or {}).get("routing_key") or ""
        if "place" in arguments and isinstance(sequence := task.request.get("place"), str):
            arguments = {**arguments, "place": sequence}  # it says too whether the message bears a claim
        try:
            execute(
                task.context,
                handler.job_type,
                handler.apply,
                task.request.id,
                queue,
                arguments,
                CarriedClaim.read(task.request.get("claim")),
            )
        except EnqueueFailed as error:
            log.warning("operators_job_waits", task_id=task.request.id, why=str(error))
            time.sleep(NOT_ON_RECORD_SECONDS)  # not in a hot loop; the message goes back to its queue
            raise Reject(str(error), requeue=True) from error

    handlers.register(handler)
    app.task(name=task_name(handler.job_type.kind), bind=True, throws=(Discard,), typing=False)(run)
