"""What is on record in the inbox, and who works on it: nothing here changes it."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

import redis

from ballast.apps.installed import INSTALLED
from ballast.inbox.records import record_key, texts_of
from ballast.inbox.scripts import Scripts
from ballast.queueing.envelope import takes_its_time
from dbcore.breaker import FleetView

OVERDUE_SECONDS = 15.0
"""A job that nobody begins for so long, though it is not held back, is waiting for workers that hang or are too few."""

RECOVERY_SECONDS = 60.0
"""So long after an outage what waited is being worked through, and nobody is alarmed by its age."""

_LOOKED_AT_MAX = 500
_TAKE_THEIR_TIME = tuple(kind for kind in INSTALLED.handlers if takes_its_time(kind))

PROCESSES_MAX = 1_000
"""Looked at, of those that beat."""


@dataclass(frozen=True)
class Overdue:
    """A job that no worker begins: for how long it has waited, and in which queue."""

    seconds: float
    queue: str


class InboxOverview:
    """Raises redis.RedisError wherever Redis cannot be asked; nothing is assumed then."""

    def __init__(self, client: redis.Redis, scripts: Scripts) -> None:
        self._redis = client
        self._overdue = scripts.load("overdue")

    def is_waiting(self, lane: str) -> bool:
        """Whether a job of this lane is on record."""
        return bool(self._redis.exists(f"ballast:inbox:lane:{lane}"))

    def notice_of(self, job_id: str) -> int | None:
        """The message that told the user this job is queued, if one did yet."""
        value = self._redis.hget(record_key(job_id), "notice")
        return None if value is None else int(value)

    def awaits_notice(self, job_id: str) -> bool:
        """Whether the job is still on record, and its user was not told yet that it is queued."""
        return job_id in self.awaiting_notice([job_id])

    def awaiting_notice(self, job_ids: Collection[str]) -> set[str]:
        """Those of these jobs of which that is so."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hmget(record_key(job_id), "lane", "notice")
            found = pipeline.execute()
        return {
            job_id
            for job_id, (lane, notice) in zip(job_ids, found, strict=True)
            if lane is not None and notice is None
        }

    def owners(self) -> list[str]:
        """The processes that beat lately, and those that have not been given up yet."""
        return texts_of(cast(list[bytes], self._redis.zrange("ballast:inbox:owners", 0, PROCESSES_MAX - 1)))

    def size(self) -> int:
        return self._redis.zcard("ballast:inbox:all")

    def held_back(self) -> int:
        """Jobs that wait for the database's queues to open."""
        return self._redis.zcard("ballast:inbox:held_back")

    def published(self) -> dict[str, int]:
        """Messages handed to each of Celery's queues, ever since Redis was empty."""
        found = cast(dict[bytes, bytes], self._redis.hgetall("ballast:inbox:sequence"))
        return {queue.decode(): int(count) for queue, count in found.items()}

    def oldest_age_seconds(self) -> float | None:
        """Age of the job that waits the longest, by Redis's clock; None where none waits."""
        oldest = cast(
            list[tuple[bytes, float]], self._redis.zrange("ballast:inbox:all", 0, 0, withscores=True)
        )
        if not oldest:
            return None
        seconds, microseconds = self._redis.time()
        return max(0.0, seconds + microseconds / 1e6 - oldest[0][1] / 1000)

    def overdue(self, view: FleetView | None) -> Overdue | None:
        """The job that has waited longest for a worker to begin it, where that is OVERDUE_SECONDS or more.

        view -- the breaker's: None is answered while it holds calls back, and for RECOVERY_SECONDS after.
        """
        if view is not None and (view.is_open or view.is_read_only):
            return None
        waits_ms, queue = self._overdue(
            args=[
                int(1000 * view.since) if view is not None else 0,
                int(1000 * RECOVERY_SECONDS),
                int(1000 * OVERDUE_SECONDS),
                _LOOKED_AT_MAX,
                *_TAKE_THEIR_TIME,
            ]
        )
        return Overdue(waits_ms / 1000, queue.decode()) if waits_ms else None

    def processes(self) -> dict[str, dict[str, Any]]:
        """The last report of every worker process that beats, with `beat_at`: when, by Redis's clock, seconds."""
        beats = {
            owner.decode(): at_ms / 1000
            for owner, at_ms in cast(
                list[tuple[bytes, float]],
                self._redis.zrange("ballast:inbox:owners", 0, PROCESSES_MAX - 1, withscores=True),
            )
        }
        if not beats:
            return {}
        reports = cast(list[bytes | None], self._redis.mget([f"ballast:worker:{owner}" for owner in beats]))
        return {
            owner: {**json.loads(report), "beat_at": at}
            for (owner, at), report in zip(beats.items(), reports, strict=True)
            if report
        }
