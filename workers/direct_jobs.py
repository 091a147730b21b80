"""Jobs that come to a process of the pool straight from their record, without a message of Celery's.

A process that waits says so when it finishes a job. The next job whose queue is empty is then handed to it in the step
that records it, on a channel of its own: no other process wakes up in between. It is claimed as one with a message is,
for whoever takes it over, so a process that dies or hangs with it loses nothing. All else comes by Celery: what waits,
what was begun before, an app's jobs, and a process's first job.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

import redis
import structlog

from ballast.inbox import DirectJob, Inbox

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 1.0
"""After a connection was lost, or could not be had."""

REFUSED_SECONDS = 60.0
"""After Redis refused it: its user may not use the channel."""


PIECES_SECONDS = 1.0
"""For how long the rest of a message may be under way."""


class DirectJobs:
    """Those of one process. Only `offer` may be called outside its main thread."""

    def __init__(
        self,
        client: redis.Redis,
        inbox: Inbox,
        owner: str,
        node: str,
        *,
        check_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """owner -- the process, as in the inbox's claims. node -- its worker, which may be drained.
        check_seconds -- a connection that is silent for so long is asked for a sign of life, and is lost without one.
        """
        self._inbox = inbox
        self._owner = owner
        self._idle = f"{owner} {node}"
        self._check_seconds = check_seconds
        self._clock = clock
        self._channel = inbox.direct_channel(owner)
        self._pubsub = client.pubsub()  # type: ignore[no-untyped-call]  # redis-py has none
        self._again_at = float("-inf")
        self._heard_at = float("-inf")
        self._asked_at: float | None = None
        """When the connection was asked for a sign of life that it has not given yet."""
        self._is_waiting = False
        self._is_offered = False
        self._offering = threading.Lock()

    @contextmanager
    def offer(self) -> Iterator[str | None]:
        """Inside, the process may be offered to the inbox under this name; None if it has something to do."""
        if not self._is_waiting:
            yield None
            return
        with self._offering:
            is_waiting = self._is_waiting
            self._is_offered |= is_waiting
            yield self._idle if is_waiting else None

    def wait(self, pipe: Any, seconds: float | None) -> DirectJob | None:
        """The next job. None if there is something to read in `pipe`, or after so many seconds."""
        until = None if seconds is None else self._clock() + seconds
        try:
            while True:
                self._is_waiting = self._pubsub.subscribed
                job = self.take()
                if job is not None:
                    return job
                now = self._clock()
                left = self._check_seconds if self._pubsub.subscribed else self._again_at - now
                if until is not None:
                    left = min(left, until - now)
                if pipe in wait([pipe, *self._sockets()], max(0.0, left)):
                    return None
                if until is not None and self._clock() >= until:
                    return None
        finally:
            self._is_waiting = False

    def take(self) -> DirectJob | None:
        """A job that is there already."""
        try:
            if self._pubsub.subscribed:
                return self._take()
            self._subscribe()
        except (redis.RedisError, OSError) as error:
            if self._pubsub.subscribed:
                log.info("direct_jobs_lost", error=type(error).__name__)
            self._pubsub.reset()
            is_refused = isinstance(error, redis.ResponseError)
            self._again_at = self._clock() + (REFUSED_SECONDS if is_refused else AGAIN_SECONDS)
        return None

    def withdraw(self) -> None:
        """The process has other things to do for long, or ends: others get what it was handed meanwhile."""
        with self._offering:
            if not self._is_offered:
                return
            self._is_offered = False
        try:
            self._inbox.withdraw(self._idle)
        except redis.RedisError as error:
            log.warning("direct_jobs_not_withdrawn", error=type(error).__name__)
        while (job := self.take()) is not None:
            self.give_back(job)

    def give_back(self, job: DirectJob) -> None:
        """Celery brings it to another process, or to this one later."""
        try:
            self._inbox.give_back_direct(job, self._owner)
        except redis.RedisError as error:  # it is due again once the claim's lease is over
            log.warning("direct_job_not_given_back", job_id=job.job_id, error=type(error).__name__)

    def close(self) -> None:
        self.withdraw()
        self._pubsub.reset()

    def _subscribe(self) -> None:
        now = self._clock()
        if now >= self._again_at:
            self._heard_at, self._asked_at = now, now
            self._pubsub.subscribe(self._channel)

    def _take(self) -> DirectJob | None:
        now = self._clock()
        connection = self._pubsub.connection
        while connection is not None and connection.can_read(timeout=0):
            self._heard_at, self._asked_at = now, None
            message = self._pubsub.get_message(timeout=PIECES_SECONDS)
            if message is not None and message["type"] == "message":
                job = DirectJob.read(message["data"])
                if job is not None:
                    return job
                log.error("direct_job_unreadable")
        if self._asked_at is not None and now - self._asked_at >= self._check_seconds:
            raise redis.ConnectionError("the connection gave no sign of life")
        if self._asked_at is None and now - self._heard_at >= self._check_seconds:
            self._asked_at = now
            self._pubsub.ping()
        return None

    def _sockets(self) -> list[Any]:
        connection = self._pubsub.connection
        socket = None if connection is None else connection._sock
        return [] if socket is None else [socket]
