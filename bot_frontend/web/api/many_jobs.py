"""`/api/v1/jobs/retry` and `/discard`: up to a hundred failed jobs at a time, by reference or by what they have in
common.

Which ones is written into the audit log first, so that a request that was cut off goes on with the same ones when it
is sent again. Each job has its own entry there beside that, in one transaction with its end.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from ballast.builtin.status import REFERENCE
from ballast.operators.permissions import Permission
from ballast.queueing import failed_jobs
from ballast.queueing.failed_jobs import FailedJobRefused
from ballast.texts import said
from bot_frontend.web.api.callers import Caller, Requires
from bot_frontend.web.api.failed_jobs import KIND
from bot_frontend.web.api.models import OF_ACTS, Time, Whom, error_responses
from bot_frontend.web.api.orders import REPLAYED, Order, Why, idempotency_key
from bot_frontend.web.api.paging import CURSOR, cursor_of, place_of
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from dbcore import admin_actions, failed_operations
from dbcore.admin_actions import DONE
from dbcore.failed_operations import Filters
from dbcore.guard.engine import GuardedEngine
from dbcore.text import storable

router = router_of("/jobs", tag="jobs")

AT_ONCE_MAX = 100
"""Failed jobs that one request retries or discards."""

DEADLINE_SECONDS = 30.0
"""For all of them: each takes three statements."""

Verb = Literal["retry", "discard"]
Chosen = dict[str, list[str] | int | None]


class Matching(BaseModel):
    """Which failed jobs; null: all. `cause` is as `/jobs/causes` says it, `error` a part of the error."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[str, Field(pattern=KIND)] | None = None
    error: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    cause: Annotated[str, Field(max_length=200)] | None = None
    telegram_id: Whom | None = None
    since: Time | None = None
    until: Time | None = None

    def filters(self) -> Filters:
        given = self.model_dump()
        texts = {name: storable(text) for name, text in given.items() if isinstance(text, str)}
        return Filters(**given | texts)


class TheseJobs(Why):
    """Failed jobs by what their users were told."""

    references: Annotated[
        list[Annotated[str, Field(pattern=REFERENCE)]], Field(min_length=1, max_length=AT_ONCE_MAX)
    ]

    def target(self) -> str:
        return " ".join(self.references)

    def chosen(self, _: GuardedEngine) -> Chosen:
        return {"references": self.references, "next": None}


class MatchingJobs(Why):
    """The oldest hundred failed jobs that match, behind `cursor`: the `next_cursor` of the answer before."""

    matching: Matching
    cursor: Annotated[str, Field(pattern=CURSOR)] | None = None

    def target(self) -> str:
        wanted = [f"{name}={value}" for name, value in self.matching.model_dump(exclude_none=True).items()]
        return " ".join([*wanted, f"after={self.cursor or 0}"])

    def chosen(self, engine: GuardedEngine) -> Chosen:
        found = failed_operations.open_matching(
            engine, self.matching.filters(), after=place_of(self.cursor) or 0, limit=AT_ONCE_MAX
        )
        following = found[-1].id if len(found) == AT_ONCE_MAX else None
        return {"references": [letter.reference for letter in found], "next": following}


ManyJobs = TheseJobs | MatchingJobs
"""`target` is for the audit log, and by it the same request is known again; `chosen` are the jobs that it is about."""


class Refused(BaseModel):
    reference: str
    why: str


class ManyResolved(BaseModel):
    """next_cursor: with it the same request, under another key, goes on with what matches; null once that was all."""

    done: int
    refused: list[Refused]
    next_cursor: str | None


def _resolve(
    api: Services, caller: Caller, key: str, verb: Verb, wanted: ManyJobs, engine: GuardedEngine
) -> tuple[bool, ManyResolved]:
    order = Order(caller, key, f"dead_letters.{verb}", wanted.target(), wanted.reason)
    known = order.found(engine)
    replayed = known is not None
    if known is None:
        admin_actions.record(engine, order.for_the_audit_log(), DONE, after=wanted.chosen(engine))
        known = order.found(engine)  # what a same request wrote down that came at the same time
    chosen: dict[str, Any] = (known and known.after) or {}
    done, refused = 0, []
    for reference in chosen["references"]:
        one = Order(caller, f"{key} {reference}", f"dead_letter.{verb}", reference, wanted.reason)
        try:
            if not one.was_done(engine):
                _resolve_one(api, engine, verb, one)
        except FailedJobRefused as error:
            if one.was_done(engine):  # by the same request, which came twice at a time
                done += 1
            else:
                refused.append(Refused(reference=reference, why=said(error)))
        else:
            done += 1
    return replayed, ManyResolved(done=done, refused=refused, next_cursor=cursor_of(chosen["next"]))


def _resolve_one(api: Services, engine: GuardedEngine, verb: Verb, order: Order) -> None:
    if verb == "retry":
        failed_jobs.retry(engine, api.inbox, api.publisher, order.target, order.for_the_audit_log())
    else:
        failed_jobs.discard(engine, order.target, order.for_the_audit_log())


async def _answer(
    api: Services, caller: Caller, key: str, verb: Verb, wanted: ManyJobs, response: Response
) -> ManyResolved:
    replayed, resolved = await api.database.run(
        partial(_resolve, api, caller, key, verb, wanted),
        name=f"api.dead_letters.{verb}",
        deadline_seconds=DEADLINE_SECONDS,
    )
    if replayed:
        response.headers[REPLAYED] = "true"
    return resolved


@router.post("/retry", summary="Retry failed jobs, up to 100 at a time", responses=error_responses(*OF_ACTS))
async def retry_jobs(
    caller: Annotated[Caller, Depends(Requires(Permission.RESOLVE_JOBS))],
    api: Annotated[Services, Depends(services)],
    key: Annotated[str, Depends(idempotency_key)],
    wanted: ManyJobs,
    response: Response,
) -> ManyResolved:
    """Each is queued again under its own ID, so that what took effect before does not do so twice. A request that got
    no answer goes on with the same jobs when it is sent again.
    """
    return await _answer(api, caller, key, "retry", wanted, response)


@router.post(
    "/discard", summary="Discard failed jobs, up to 100 at a time", responses=error_responses(*OF_ACTS)
)
async def discard_jobs(
    caller: Annotated[Caller, Depends(Requires(Permission.RESOLVE_JOBS))],
    api: Annotated[Services, Depends(services)],
    key: Annotated[str, Depends(idempotency_key)],
    wanted: ManyJobs,
    response: Response,
) -> ManyResolved:
    """Each is closed without being done."""
    return await _answer(api, caller, key, "discard", wanted, response)
