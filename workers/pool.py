"""Celery's pool as workers have it.

A job goes to a child that has none at once. Celery hands it over when its event loop comes round again, after it has
asked Redis for the next message.

A child that waits for Celery also waits for jobs that it is handed without a message (direct_jobs.py). While it does
one, Celery's tasks go to other children first. It tells its parent of them soon after, so that Flower shows them like
any other task.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes import c_bool
from multiprocessing.connection import wait
from multiprocessing.sharedctypes import RawValue
from typing import Any, NamedTuple

import structlog
from billiard.exceptions import SoftTimeLimitExceeded
from celery import current_app
from celery.concurrency.asynpool import AsynPool as CeleryPool
from celery.concurrency.asynpool import Worker as CeleryWorker

from ballast.inbox import DirectJob
from ballast.jobs import task_name
from workers.executor import execute_direct

log = structlog.get_logger(__name__)

TOLD_SECONDS = 0.5
"""How much later the parent hears of a job that was done without a message."""

PARENT_SECONDS = 5.0
"""How often a child that waits looks whether its parent lives. Nothing else says so: siblings hold the pipes open."""

DONE_DIRECTLY = "done directly"
"""What marks such a report among a child's messages to its parent."""


class Done(NamedTuple):
    """A job that was done without a message. at -- when it was begun, seconds since 1970."""

    job_id: str
    task: str
    at: float
    seconds: float


class Worker(CeleryWorker):
    """A child of the pool."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.is_at_work = RawValue(c_bool, False)
        """On a job that came without a message. In memory that the parent shares."""
        self._parent = os.getpid()
        self._done: list[Done] = []
        super().__init__(*arguments, **options)

    def contribute_to_object(self, obj: Any) -> Any:
        obj.is_at_work = self.is_at_work
        return super().contribute_to_object(obj)

    def _make_recv_method(self, conn: Any) -> Callable[[float], tuple[bool, Any]]:
        receive: Callable[[float], tuple[bool, Any]] = super()._make_recv_method(conn)
        if conn is not self.inq:
            return receive

        def receive_or_do(timeout: float) -> tuple[bool, Any]:
            contexts = getattr(current_app, "contexts", None)
            context = contexts and contexts.mine(forked=True)
            if context and context.direct_jobs and not self._do_until_ready(context, conn._reader):
                return False, None
            return receive(timeout)

        return receive_or_do

    def _do_until_ready(self, context: Any, pipe: Any) -> bool:
        """Wait for Celery's next task, or do one job that came without a message. Whether Celery's is there. They take
        turns, so neither starves the other.

        Raises EOFError if the parent has ended.
        """
        job = context.direct_jobs.wait(pipe, TOLD_SECONDS if self._done else PARENT_SECONDS)
        if job is not None:
            self.is_at_work.value = True
            try:
                self._do(context, job)
            finally:
                self.is_at_work.value = False
        is_told = bool(self._done) and (job is None or time.time() - self._done[0].at >= TOLD_SECONDS)
        if (is_told or job is None) and os.getppid() != self._parent:
            raise EOFError
        if is_told:
            self.outq.put((DONE_DIRECTLY, (self._done,)))
            self._done = []
        return bool(wait([pipe], 0))

    def _do(self, context: Any, job: DirectJob) -> None:
        at, began = time.time(), time.monotonic()
        try:
            with _time_limits():
                is_done = execute_direct(context, job)
        except Exception:
            # The edge of a job that no task of Celery's is around; the rescuer sees to its record.
            signal.setitimer(signal.ITIMER_REAL, 0)
            log.exception("direct_job_tripped", job_id=job.job_id)
            return
        if is_done:
            self._done.append(Done(job.job_id, task_name(job.kind), at, time.monotonic() - began))
        else:
            context.direct_jobs.give_back(job)


@contextmanager
def _time_limits() -> Iterator[None]:
    """Those of Celery's tasks, which its parent sees to: an error in time to give the job back, and then the end."""
    soft, hard = current_app.conf.task_soft_time_limit, current_app.conf.task_time_limit

    def over(*_signal: Any) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, hard - soft)
        raise SoftTimeLimitExceeded

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, soft)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class AsynPool(CeleryPool):
    Worker = Worker

    _quick_put: Callable[[Any], None]

    on_done_directly: Callable[[Sequence[Done]], None] | None = None
    """Hears of jobs that a child did without a message."""

    def create_result_handler(self) -> Any:
        handler = super().create_result_handler()
        handler.state_handlers[DONE_DIRECTLY] = self._hear_of
        return handler

    def _hear_of(self, done: Sequence[Done]) -> None:
        if AsynPool.on_done_directly is not None:
            AsynPool.on_done_directly(done)

    def _create_write_handlers(self, hub: Any, **options: Any) -> None:
        super()._create_write_handlers(hub, **options)
        put, write = self._quick_put, hub.consolidate_callback

        def put_and_write(job: Any) -> None:
            put(job)
            idle = [fd for fd in self._all_inqueues - self._active_writes if fd not in self._busy_workers]
            if idle:
                write(sorted(idle, key=lambda fd: bool(self._fileno_to_inq[fd].is_at_work.value)))

        self._quick_put = put_and_write

    def _worker_active(self, worker: Any) -> bool:
        return bool(worker.is_at_work.value or super()._worker_active(worker))
