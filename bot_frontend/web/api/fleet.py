"""`/api/v1/queues` and `/workers`: what waits and who works, and pausing it. They need Redis alone."""

from __future__ import annotations

import asyncio
import uuid
from typing import Annotated

from fastapi import Depends, Path, Response
from pydantic import BaseModel, Field

from ballast.builtin.status import QUEUE
from ballast.operators.permissions import Permission
from ballast.queueing import queue_pauses, worker_drains
from ballast.queueing.queues import QUEUES
from ballast.queueing.worker_drains import WORKER, NoSuchWorker, WorkerState, WouldLeaveAlone
from ballast.texts import gettext, said
from bot_frontend.web.actions import ActionConflict, Actions, NoRoom
from bot_frontend.web.api.callers import Caller, Requires
from bot_frontend.web.api.models import OF_ACTS, Page, error_responses
from bot_frontend.web.api.orders import REPLAYED, Why, idempotency_key
from bot_frontend.web.api.problems import Problem
from bot_frontend.web.api.refusals import key_reused
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from dbcore.redis_client import redis_time
from dbcore.redis_pace import pace_of

router = router_of(tag="fleet")

QueueName = Annotated[str, Path(pattern=QUEUE, description="Such as balances")]
WorkerName = Annotated[str, Path(pattern=WORKER, description="Such as main@host")]

_ACTION_IDS = uuid.UUID("6f1d2a54-0c57-4a4e-9f6c-3b1f0f5f8f1b")
"""An order's id is made of its Idempotency-Key."""


class Queue(BaseModel):
    """length: jobs that are ready, and not begun."""

    name: str
    length: int
    paused_by: str | None
    paused_seconds: float | None


class RunningJob(BaseModel):
    kind: str
    seconds: float = Field(description="For how long it has been done")
    pid: int | None = Field(description="The process that does it")


class FleetWorker(BaseModel):
    """draining: it takes no jobs, and finishes what it has. drained: nothing is left. silent: it was told to drain, and
    has not said that it does. gone: it ended while it was draining, and its jobs went to others.
    """

    name: str
    state: WorkerState
    queues: list[str]
    processes: int
    jobs: list[RunningJob]
    alone: list[str] = Field(description="Queues whose jobs no other worker takes")
    drained_by: str | None
    drained_seconds: float | None


class DrainOrder(Why):
    even_if_last: bool = Field(
        default=False, description="Though nobody else takes the jobs of a queue of it"
    )


@router.get("/queues", summary="List queues", responses=error_responses())
async def list_queues(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_JOBS))], api: Annotated[Services, Depends(services)]
) -> Page[Queue]:
    """In one page."""
    return Page(items=await asyncio.to_thread(_queues, api), next_cursor=None)


@router.post("/queues/{queue}/pause", summary="Pause a queue", responses=error_responses(*OF_ACTS))
async def pause_queue(
    caller: Annotated[Caller, Depends(Requires(Permission.PAUSE_WORK))],
    api: Annotated[Services, Depends(services)],
    queue: QueueName,
    why: Why,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> Queue:
    """Its jobs wait, in order, until it is resumed. Every worker knows within four seconds."""
    await _order(api, caller, "queue.pause", queue, why, key, response)
    return await _queue(api, queue)


@router.post("/queues/{queue}/resume", summary="Resume a queue", responses=error_responses(*OF_ACTS))
async def resume_queue(
    caller: Annotated[Caller, Depends(Requires(Permission.PAUSE_WORK))],
    api: Annotated[Services, Depends(services)],
    queue: QueueName,
    why: Why,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> Queue:
    """Its jobs are done again. Every worker knows within four seconds."""
    await _order(api, caller, "queue.resume", queue, why, key, response)
    return await _queue(api, queue)


@router.get("/workers", summary="List workers", responses=error_responses())
async def list_workers(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_JOBS))], api: Annotated[Services, Depends(services)]
) -> Page[FleetWorker]:
    """With what each does now, in one page."""
    return Page(items=await asyncio.to_thread(_workers, api), next_cursor=None)


@router.post("/workers/{worker}/drain", summary="Drain a worker", responses=error_responses(*OF_ACTS))
async def drain_worker(
    caller: Annotated[Caller, Depends(Requires(Permission.PAUSE_WORK))],
    api: Annotated[Services, Depends(services)],
    worker: WorkerName,
    order: DrainOrder,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> FleetWorker:
    """It takes no more jobs, and finishes what it has: look at it until it is drained. It stays drained until it is
    resumed or restarted. The last one that takes the jobs of a queue is refused, unless `even_if_last`.
    """
    action = "worker.drain_last" if order.even_if_last else "worker.drain"
    await _order(api, caller, action, worker, order, key, response)
    return await _worker(api, worker)


@router.post("/workers/{worker}/resume", summary="Resume a worker", responses=error_responses(*OF_ACTS))
async def resume_worker(
    caller: Annotated[Caller, Depends(Requires(Permission.PAUSE_WORK))],
    api: Annotated[Services, Depends(services)],
    worker: WorkerName,
    why: Why,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> FleetWorker:
    """It takes jobs again."""
    before = await _worker(api, worker)
    await _order(api, caller, "worker.resume", worker, why, key, response)
    return before if before.state is WorkerState.GONE else await _worker(api, worker)


async def _order(
    api: Services, caller: Caller, action: str, target: str, why: Why, key: str, response: Response
) -> None:
    """At once, and once for its key. Raises Problem."""
    actions = Actions(api.redis, api.inbox, api.publisher)
    action_id = str(uuid.uuid5(_ACTION_IDS, f"{action} {key}"))

    def take() -> bool:
        return actions.take(action_id, caller.actor, action, target, why.reason).replayed

    try:
        replayed = await asyncio.to_thread(take)
    except NoSuchWorker as missing:
        raise Problem(404, "not-found", gettext("{sentence}.", sentence=said(missing))) from None
    except WouldLeaveAlone as last:
        raise Problem(
            409, "conflict", gettext("{why}. Say even_if_last to drain it all the same.", why=said(last))
        ) from None
    except ActionConflict:
        raise key_reused() from None
    except NoRoom:
        raise Problem(
            503, "unavailable", gettext("No more jobs can be taken now."), retry_after_seconds=5
        ) from None
    if replayed:
        response.headers[REPLAYED] = "true"


async def _queue(api: Services, name: str) -> Queue:
    return next(each for each in await asyncio.to_thread(_queues, api) if each.name == name)


async def _worker(api: Services, name: str) -> FleetWorker:
    """Raises Problem."""
    for each in await asyncio.to_thread(_workers, api):
        if each.name == name:
            return each
    raise Problem(404, "not-found", gettext("There is no worker {name}.", name=name))


def _queues(api: Services) -> list[Queue]:
    paused, now = queue_pauses.read(api.redis), redis_time(api.redis)
    return [
        Queue(
            name=name,
            length=api.redis.llen(name),
            paused_by=paused[name].by if name in paused else None,
            paused_seconds=max(0.0, round(now - paused[name].at, 3)) if name in paused else None,
        )
        for name in QUEUES
    ]


def _workers(api: Services) -> list[FleetWorker]:
    found = worker_drains.workers(
        api.inbox.processes(),
        worker_drains.read(api.redis),
        redis_time(api.redis),
        pace_of(api.settings),
    )
    return [
        FleetWorker(
            name=each.name,
            state=each.state,
            queues=list(each.queues),
            processes=len(each.processes),
            jobs=[RunningJob(**job) for job in each.jobs],
            alone=list(each.alone),
            drained_by=each.drained_by,
            drained_seconds=each.drained_seconds,
        )
        for each in found
    ]
