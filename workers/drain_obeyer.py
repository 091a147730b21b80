"""A worker that an operator drains (ballast/queueing/worker_drains.py): it says that it takes no more jobs, and once
nothing is left that it had.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import redis
import structlog

from ballast.inbox import Inbox
from ballast.queueing import worker_drains
from ballast.queueing.worker_drains import Drain
from dbcore.redis_client import redis_time
from dbcore.redis_pace import RedisPace

log = structlog.get_logger(__name__)

READ_EVERY_SECONDS = 3.0
"""While it is not drained: an idle fleet asks Redis little."""

LOOK_EVERY_SECONDS = 0.5
"""While it drains."""

LAST_MESSAGE_SECONDS = 1.0
"""Beside what Redis is asked to wait for: a message that was asked for before may still come."""


class DrainObeyer:
    """Of one worker's parent process. Raises redis.RedisError."""

    def __init__(
        self,
        client: redis.Redis,
        worker: str,
        is_idle: Callable[[], bool],
        pace: RedisPace,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """is_idle -- whether neither this process nor its children have a message in hand."""
        self._redis = client
        self._worker = worker
        self._is_idle = is_idle
        self._last_message_seconds = pace.take + LAST_MESSAGE_SECONDS
        self._clock = clock
        self._inbox = Inbox(client)
        self._drain: Drain | None = None
        self._read_at = float("-inf")
        self._idle_since: float | None = None

    @property
    def is_done(self) -> bool:
        return self._drain is not None and self._drain.done_at is not None

    def look(self) -> bool:
        """Whether it is to take no jobs."""
        now = self._clock()
        every = READ_EVERY_SECONDS if self._drain is None or self.is_done else LOOK_EVERY_SECONDS
        if now - self._read_at < every:
            return self._drain is not None
        self._read_at = now
        before, self._drain = self._drain, worker_drains.of(self._redis, self._worker)
        if self._drain is None:
            if before is not None:
                log.warning("worker_resumed", worker=self._worker)
            return False
        if before is None or before.at != self._drain.at:
            self._idle_since = None
        if self._drain.said_at is None:
            log.warning("worker_drains", worker=self._worker, by=self._drain.by)
        done_at = self._drain.done_at
        if done_at is None and self._has_nothing_left(now):
            log.warning("worker_drained", worker=self._worker)
            done_at = redis_time(self._redis)
        worker_drains.say(self._redis, self._worker, self._drain, done_at=done_at)
        return True

    def _has_nothing_left(self, now: float) -> bool:
        if not self._is_idle():
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = now
        if now - self._idle_since < self._last_message_seconds:
            return False
        reports = self._inbox.processes().values()
        return not any(
            report.get("doing") for report in reports if worker_drains.node_of(report) == self._worker
        )
