"""`/api/v1/jobs/waiting`: jobs on record. It needs Redis alone, so it answers in an outage too."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Depends
from pydantic import BaseModel, Field

from ballast.operators.permissions import Permission
from ballast.queueing import lookup
from ballast.queueing.lookup import FoundJob, WaitingPage
from ballast.texts import said
from bot_frontend.web.api.callers import Caller, Requires
from bot_frontend.web.api.models import Moment, Page, error_responses
from bot_frontend.web.api.paging import LIMIT, Cursor, Limit, cursor_of, place_of
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from dbcore.breaker import CachedStateReader

router = router_of("/jobs", tag="jobs")


class WaitingJob(BaseModel):
    """A job on record. behind: others of its user or lane come first. delayed: its next try is not yet due."""

    reference: str
    state: Literal["held_back", "queued", "running", "behind", "delayed", "answering"]
    kind: str | None
    telegram_id: int | None = Field(description="Whose it is; null where it is nobody's")
    username: str | None
    since: Moment
    age_seconds: float
    deliveries: int = Field(description="How often a worker began it")
    waits_for: str = Field(description="In words; empty where it waits for nothing")

    @classmethod
    def of(cls, job: FoundJob) -> WaitingJob:
        fields = {name: getattr(job, name) for name in cls.model_fields}
        since = datetime.fromtimestamp(job.since or 0, UTC)
        return cls(**{**fields, "since": since, "waits_for": said(job.waits_for)})


@router.get("/waiting", summary="List the jobs that wait", responses=error_responses())
async def list_waiting_jobs(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_JOBS))],
    api: Annotated[Services, Depends(services)],
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[WaitingJob]:
    """Whoever has waited longest first."""

    def read() -> WaitingPage:
        view = CachedStateReader(api.redis).read()
        return lookup.waiting(api.redis, view, place=place_of(cursor), limit=limit)

    page = await asyncio.to_thread(read)
    return Page(items=[WaitingJob.of(job) for job in page.items], next_cursor=cursor_of(page.next_place))
