"""Draining workers: one that is drained takes no more jobs, finishes what it has, and says when it is done. It stays so
until it is resumed or restarted.

    ballast:workers:drains   hash   worker -> as JSON: by, whom; at, since when, seconds since 1970 by Redis's clock
    ballast:workers:drained  hash   worker -> as JSON, by itself: at, of the drain that it obeys; done_at, or null;
                                    said_at, when it said so last
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import redis

from dbcore.redis_client import redis_time
from dbcore.redis_pace import RESPONSIVE, RedisPace
from dbcore.sentences import Refusal, sentence

WORKER = r"^[A-Za-z0-9._-]{1,64}@[A-Za-z0-9._-]{1,64}$"
"""A worker's name in Celery, such as main@host."""

OBEYS_WITHIN_SECONDS = 15.0
"""And as long as a worker looks at most, which REDIS_MODE says. One that has not said by then that it drains hangs, or
is of a release that knows of no drains.
"""

SAYS_WITHIN_SECONDS = 10.0
"""And as long as a worker looks at most. One whose processes do not beat, and that says nothing either, is gone."""

FORGOTTEN_AFTER_SECONDS = 86_400.0
"""What is left of a worker that is gone."""

DRAINS = "ballast:workers:drains"
_DRAINED = "ballast:workers:drained"


class WorkerState(StrEnum):
    """silent -- it was told to drain, and has not said that it does. gone -- it ended while it was draining, and its
    jobs went to others.
    """

    WORKING = "working"
    DRAINING = "draining"
    DRAINED = "drained"
    SILENT = "silent"
    GONE = "gone"


class WouldLeaveAlone(Refusal):
    """Nobody else takes the jobs of these queues."""

    def __init__(self, worker: str, queues: Collection[str]) -> None:
        self.queues = sorted(queues)
        super().__init__(
            sentence(
                "no other worker takes the jobs of {queues} once {worker} is drained",
                queues=", ".join(self.queues),
                worker=worker,
            )
        )


class NoSuchWorker(Refusal):
    """None of this name beats."""

    def __init__(self, name: str, found: Collection[Worker]) -> None:
        names = [each.name for each in found if each.processes]
        expected = (
            sentence("expected one of {names}", names=", ".join(names))
            if names
            else sentence("no worker runs")
        )
        super().__init__(sentence("there is no worker {name}; {expected}", name=name, expected=expected))


@dataclass(frozen=True, slots=True)
class Drain:
    """at -- seconds since 1970 by Redis's clock, as done_at and said_at: when the worker said last that it drains."""

    by: str
    at: float
    said_at: float | None = None
    done_at: float | None = None


@dataclass(frozen=True, slots=True)
class Worker:
    """processes -- of each pid, beat_age_seconds and doing, as it reported. alone -- its queues whose jobs no other
    worker takes: those that are drained take none.
    """

    name: str
    state: WorkerState
    queues: tuple[str, ...]
    processes: tuple[dict[str, Any], ...]
    alone: tuple[str, ...]
    drained_by: str | None
    drained_seconds: float | None

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """What it does now: pid, kind and seconds of each."""
        return [{"pid": each["pid"], **job} for each in self.processes for job in each["doing"]]


def read(client: redis.Redis) -> dict[str, Drain]:
    """By worker. Raises redis.RedisError."""
    drains = cast("dict[bytes, bytes]", client.hgetall(DRAINS))
    drained = cast("dict[bytes, bytes]", client.hgetall(_DRAINED)) if drains else {}
    found = {}
    for name, kept in sorted(drains.items()):
        drain = json.loads(kept)
        said = json.loads(drained.get(name, b"{}"))
        if said.get("at") != drain["at"]:
            said = {}  # of a drain before
        found[name.decode()] = Drain(drain["by"], drain["at"], said.get("said_at"), said.get("done_at"))
    return found


def of(client: redis.Redis, worker: str) -> Drain | None:
    """Of one worker, by one command while it is not drained. Raises redis.RedisError."""
    return read(client).get(worker) if client.hexists(DRAINS, worker) else None


def node_of(report: Mapping[str, Any]) -> str:
    """The worker that a process belongs to; another release's report does not name it."""
    return str(report.get("node") or f"{report.get('name')}@{report.get('host')}")


def workers(
    processes: Mapping[str, Mapping[str, Any]],
    drains: Mapping[str, Drain],
    now: float,
    pace: RedisPace = RESPONSIVE,
) -> list[Worker]:
    """All that beat, and those that ended while they were draining, by name.

    processes -- as the inbox has them. now -- by Redis's clock.
    """
    by_name: dict[str, list[Mapping[str, Any]]] = {name: [] for name in drains}
    for report in processes.values():
        by_name.setdefault(node_of(report), []).append(report)
    attended: dict[str, set[str]] = {}
    for name, reports in by_name.items():
        if name not in drains:
            for queue in _queues(reports):
                attended.setdefault(queue, set()).add(name)
    return [
        _worker(name, reports, drains.get(name), attended, now, pace.pauser)
        for name, reports in sorted(by_name.items())
    ]


def drain(
    client: redis.Redis, name: str, by: str, processes: Mapping[str, Mapping[str, Any]], *, even_last: bool
) -> None:
    """It knows within four seconds. One that drains already goes on with it.

    even_last -- though nobody else takes the jobs of a queue of it. Of two who drain two workers at once, one is told
    so. Raises NoSuchWorker, WouldLeaveAlone, redis.RedisError.
    """

    def work(pipeline: Any) -> None:
        drains, now = read(client), redis_time(client)
        found = {each.name: each for each in workers(processes, drains, now)}
        worker = found.get(name)
        if worker is None or not worker.processes:
            raise NoSuchWorker(name, found.values())
        if worker.alone and name not in drains and not even_last:
            raise WouldLeaveAlone(name, worker.alone)
        stale = [
            each.name
            for each in found.values()
            if each.state is WorkerState.GONE and (each.drained_seconds or 0) > FORGOTTEN_AFTER_SECONDS
        ]
        pipeline.multi()
        for each in stale:
            pipeline.hdel(DRAINS, each)
            pipeline.hdel(_DRAINED, each)
        pipeline.hsetnx(DRAINS, name, json.dumps({"by": by, "at": now}))

    client.transaction(work, DRAINS)


def resume(client: redis.Redis, name: str) -> None:
    """Let it take jobs again. One that is not drained stays as it is. Raises redis.RedisError."""
    with client.pipeline() as pipeline:
        pipeline.hdel(DRAINS, name)
        pipeline.hdel(_DRAINED, name)
        pipeline.execute()


def say(client: redis.Redis, name: str, drain: Drain, *, done_at: float | None) -> None:
    """By the worker itself: that it drains, and since when it has nothing left. Raises redis.RedisError."""
    said = {"at": drain.at, "done_at": done_at, "said_at": redis_time(client)}
    client.hset(_DRAINED, name, json.dumps(said))


def _queues(reports: Collection[Mapping[str, Any]]) -> list[str]:
    return sorted({queue for report in reports for queue in report.get("queues", ())})


def _worker(
    name: str,
    reports: Collection[Mapping[str, Any]],
    drain: Drain | None,
    attended: Mapping[str, set[str]],
    now: float,
    looks_every: float,
) -> Worker:
    queues = _queues(reports)
    return Worker(
        name=name,
        state=_state(reports, drain, now, looks_every),
        queues=tuple(queues),
        processes=tuple(
            {
                "pid": report.get("pid"),
                "beat_age_seconds": round(max(0.0, now - report["beat_at"]), 3),
                "doing": list(report.get("doing", [])),
            }
            for report in sorted(reports, key=lambda report: str(report.get("pid")))
        ),
        alone=tuple(queue for queue in queues if not attended.get(queue, set()) - {name}),
        drained_by=None if drain is None else drain.by,
        drained_seconds=None if drain is None else round(max(0.0, now - drain.at), 3),
    )


def _state(
    reports: Collection[Mapping[str, Any]], drain: Drain | None, now: float, looks_every: float
) -> WorkerState:
    if drain is None:
        return WorkerState.WORKING
    said_at = float("-inf") if drain.said_at is None else drain.said_at
    if not reports and now - said_at > SAYS_WITHIN_SECONDS + looks_every:
        return WorkerState.GONE
    if drain.done_at is not None:
        return WorkerState.DRAINED
    if drain.said_at is None and now - drain.at > OBEYS_WITHIN_SECONDS + looks_every:
        return WorkerState.SILENT
    return WorkerState.DRAINING
