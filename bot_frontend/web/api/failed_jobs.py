"""`/api/v1/jobs`: jobs that failed, and what to do with them."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Response
from pydantic import BaseModel, Field

from ballast.builtin.status import REFERENCE
from ballast.operators.permissions import Permission
from ballast.queueing import failed_jobs
from ballast.texts import gettext
from bot_frontend.web.api.callers import Caller, Requires
from bot_frontend.web.api.models import OF_ACTS, Moment, Page, Time, error_responses
from bot_frontend.web.api.orders import REPLAYED, Order, Why, idempotency_key
from bot_frontend.web.api.paging import LIMIT, Cursor, Limit, cursor_of, place_of
from bot_frontend.web.api.problems import Problem
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from dbcore import failed_operations
from dbcore.expectations import shaped
from dbcore.failed_operations import FailedOperation, Filters
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.users import TELEGRAM_ID_LIMIT
from dbcore.text import storable

KIND = shaped(r"^[a-z0-9_.]{1,64}$", "a kind of jobs, such as shop.order")

router = router_of("/jobs", tag="jobs")

Reference = Annotated[
    str, Path(pattern=REFERENCE, description="What the job's user was told, such as 7F3KQ2MA")
]


class State(StrEnum):
    FAILED = "failed"
    RETRIED = "retried"
    DISCARDED = "discarded"


class FailedJob(BaseModel):
    """A job that failed. retried: it was queued again since; discarded: it never will be."""

    reference: str
    state: State
    kind: str
    telegram_id: int | None = Field(description="Whose it is; null where it is nobody's")
    error: str
    failed_at: Moment

    @classmethod
    def of(cls, letter: FailedOperation) -> FailedJob:
        return cls(**_fields(letter))


class FailedJobWithArguments(FailedJob):
    """With all that it was to do."""

    job_id: str
    payload: dict[str, Any]

    @classmethod
    def of(cls, letter: FailedOperation) -> FailedJobWithArguments:
        return cls(job_id=letter.job_id, payload=letter.payload, **_fields(letter))


class Cause(BaseModel):
    """Why jobs of a kind failed: the first line of their error, with `#` for numbers."""

    kind: str
    cause: str
    count: int
    first_at: Moment
    last_at: Moment


class Causes(BaseModel):
    """The most frequent ones, and how many jobs failed of all. is_all: no older ones were left out."""

    items: list[Cause]
    total: int
    is_all: bool


def _fields(letter: FailedOperation) -> dict[str, Any]:
    return {
        "reference": letter.reference,
        "state": State.FAILED if letter.status == "open" else State(letter.status),
        "kind": letter.kind,
        "telegram_id": letter.telegram_id,
        "error": letter.error,
        "failed_at": letter.created_at,
    }


def matching(
    kind: Annotated[str | None, Query(pattern=KIND)] = None,
    error: Annotated[str | None, Query(description="A part of it", min_length=1, max_length=200)] = None,
    cause: Annotated[str | None, Query(description="As `/jobs/causes` says it", max_length=200)] = None,
    telegram_id: Annotated[int | None, Query(gt=0, lt=TELEGRAM_ID_LIMIT)] = None,
    since: Time | None = None,
    until: Time | None = None,
) -> Filters:
    """A dependency."""
    return Filters(kind, _stored(error), _stored(cause), telegram_id, since, until)


@router.get("", summary="List jobs that failed", responses=error_responses())
async def list_jobs(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_JOBS))],
    api: Annotated[Services, Depends(services)],
    filters: Annotated[Filters, Depends(matching)],
    state: State = State.FAILED,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[FailedJob]:
    before = place_of(cursor)
    status = "open" if state is State.FAILED else state.value

    def read(engine: GuardedEngine) -> failed_operations.FailedPage:
        return failed_operations.page(engine, filters, status=status, before=before, limit=limit)

    page = await api.database.run(read, name="api.jobs")
    return Page(
        items=[FailedJob.of(letter) for letter in page.items], next_cursor=cursor_of(page.next_before)
    )


@router.get("/causes", summary="Count failed jobs by cause", responses=error_responses())
async def count_causes(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_JOBS))],
    api: Annotated[Services, Depends(services)],
    filters: Annotated[Filters, Depends(matching)],
) -> Causes:
    """Of the newest 5,000 that nobody dealt with yet."""
    found = await api.database.run(
        lambda engine: failed_operations.causes(engine, filters), name="api.jobs.causes"
    )
    return Causes(
        items=[Cause(**asdict(each)) for each in found.items], total=found.total, is_all=found.is_all
    )


@router.get("/{reference}", summary="Look at a job that failed", responses=error_responses(404))
async def look_at_job(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_JOBS))],
    api: Annotated[Services, Depends(services)],
    reference: Reference,
) -> FailedJobWithArguments:
    return await api.database.run(lambda engine: _found(engine, reference), name="api.job")


class Action(StrEnum):
    RETRY = "retry"
    DISCARD = "discard"


@router.post(
    "/{reference}/{action}", summary="Retry or discard a failed job", responses=error_responses(*OF_ACTS)
)
async def resolve_job(
    caller: Annotated[Caller, Depends(Requires(Permission.RESOLVE_JOBS))],
    api: Annotated[Services, Depends(services)],
    reference: Reference,
    action: Action,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
    why: Why | None = None,
) -> FailedJobWithArguments:
    """retry: queue it again under its own id, so that what took effect before does not do so twice. discard: close it
    without doing it.
    """
    order = Order(caller, key, f"dead_letter.{action}", reference, why.reason if why else "")

    def act(engine: GuardedEngine) -> tuple[bool, FailedJobWithArguments]:
        replayed = order.was_done(engine)
        if not replayed:
            _found(engine, reference)
            if action is Action.RETRY:
                failed_jobs.retry(engine, api.inbox, api.publisher, reference, order.for_the_audit_log())
            else:
                failed_jobs.discard(engine, reference, order.for_the_audit_log())
        return replayed, _found(engine, reference)

    replayed, job = await api.database.run(act, name=f"api.{order.action}")
    if replayed:
        response.headers[REPLAYED] = "true"
    return job


def _found(engine: GuardedEngine, reference: str) -> FailedJobWithArguments:
    letter = failed_operations.find(engine, reference)
    if letter is None:
        raise Problem(404, "not-found", gettext("There is no failed job {reference}.", reference=reference))
    return FailedJobWithArguments.of(letter)


def _stored(text: str | None) -> str | None:
    return None if text is None else storable(text)
