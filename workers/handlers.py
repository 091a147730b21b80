"""What does each kind of job in this process: the functions of tasks, and of apps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ballast.apps.installed import INSTALLED
from ballast.jobs import Job, JobInvalid, task_name
from ballast.queueing.envelope import is_short, queue_of


@dataclass(frozen=True)
class Handler:
    """apply -- from the job's `TaskContext` to its answer, or to a step for the reply sender (task_context.py).
    apply_many -- from the `TaskContext` of several jobs to the answer of each, or to what that job alone would have
        raised. If it raises, they are done again in halves, and what a transaction did for some of them is found by
        their keys.
    """

    job_type: type[Job]
    apply: Callable[[Any], Any]
    apply_many: Callable[[Sequence[Any]], Sequence[Any]] | None = None


_handlers: dict[str, Handler] = {}
_own: dict[str, Handler] = {}


def register(handler: Handler) -> None:
    _handlers[handler.job_type.kind] = handler
    tasks_of.cache_clear()


def register_own(handler: Handler) -> None:
    """What Ballast itself does for a job of its own, also if an app's function is in its place."""
    _own[handler.job_type.kind] = handler


def own_handler_of(kind: str) -> Handler:
    """Raises KeyError if it is no job of Ballast's own."""
    return _own[kind]


def find(kind: str) -> Handler | None:
    return _handlers.get(kind)


def handler_of(kind: str) -> Handler:
    """Raises JobInvalid if this process has none."""
    try:
        return _handlers[kind]
    except KeyError:
        raise JobInvalid(f"kind: no task of this worker does {kind}") from None


def batch_of(kind: str) -> int:
    """How many jobs of a kind that is not short are done by one call."""
    handler = INSTALLED.handlers.get(kind)
    return 1 if handler is None else handler.batch or 1


@cache
def tasks_of(queue: str) -> list[str]:
    """The tasks of a queue whose jobs are short, by the names that Celery has them under."""
    return [task_name(kind) for kind in _handlers if queue_of(kind) == queue and is_short(kind)]
