"""`/api/v1/broadcasts`: how far they are, and what to do with them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Path, Response
from pydantic import BaseModel, Field

from ballast.broadcasts.audience import A, B, payload_of
from ballast.broadcasts.lanes import Lanes
from ballast.broadcasts.preview import beginning
from ballast.broadcasts.service import BroadcastService
from ballast.builtin.broadcasts import StartBroadcast
from ballast.builtin.composition import CanaryRule
from ballast.operators.permissions import Permission
from ballast.queueing.kinds import JOB_TYPES
from ballast.texts import gettext, gettext_noop
from bot_frontend.web.api.callers import Caller, Requires
from bot_frontend.web.api.models import OF_ACTS, Moment, Page, error_responses
from bot_frontend.web.api.orders import REPLAYED, Order, Why, idempotency_key
from bot_frontend.web.api.paging import LIMIT, Cursor, Limit, cursor_of, place_of
from bot_frontend.web.api.problems import Problem
from bot_frontend.web.api.refusals import broadcasts_are_off
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from dbcore import admin_actions
from dbcore.admin_actions import DONE
from dbcore.broadcasts import broadcasts, deliveries
from dbcore.broadcasts.broadcasts import SNAPSHOT_SECONDS_MAX, BroadcastStatus, DoesNothing, Progress
from dbcore.guard.engine import GuardedEngine

router = router_of("/broadcasts", tag="broadcasts")


Id = Annotated[int, Path(ge=1, lt=2**63)]


class Broadcast(BaseModel):
    """A broadcast and how far it is. Counts are recipients."""

    id: int
    status: BroadcastStatus
    text: str | None = Field(description="The beginning of its text; null for copied messages")
    actor: str
    paid: bool
    stars_max: int | None
    has_variants: bool = Field(description="Whether it has two texts, of an A/B test")
    canary: int
    canary_rule: CanaryRule | None = Field(description="Nobody else follows before the canary is done")
    canary_out: bool = Field(description="Whether the others wait for the canary still")
    audience: int | None = Field(description="How many it is for; null before it began")
    sent: int
    blocked: int
    failed: int
    unknown: int
    halted_reason: str | None
    created_at: Moment
    scheduled_for: Moment | None
    started_at: Moment | None
    finished_at: Moment | None

    @classmethod
    def of(cls, found: Progress) -> Broadcast:
        ours = {
            "text": beginning(found.payload),
            "canary_out": found.canary_until is not None,
            "has_variants": "other" in found.payload,
        }
        fields = {name: getattr(found, name) for name in cls.model_fields if name not in ours}
        return cls(**ours, **fields)


@router.get("", summary="List broadcasts", responses=error_responses())
async def list_broadcasts(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_BROADCASTS))],
    api: Annotated[Services, Depends(services)],
    status: BroadcastStatus | None = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[Broadcast]:
    before = place_of(cursor)
    found = await api.database.run(
        lambda engine: broadcasts.list_recent(engine, limit, before=before, status=status),
        name="api.broadcasts",
    )
    following = found[-1].id if len(found) == limit else None
    return Page(items=[Broadcast.of(each) for each in found], next_cursor=cursor_of(following))


@router.get("/{broadcast_id}", summary="Look at a broadcast", responses=error_responses(404))
async def look_at_broadcast(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_BROADCASTS))],
    api: Annotated[Services, Depends(services)],
    broadcast_id: Id,
) -> Broadcast:
    return await api.database.run(lambda engine: found_or_problem(engine, broadcast_id), name="api.broadcast")


class Variant(BaseModel):
    """One text of an A/B test. Counts are recipients."""

    name: str = Field(pattern="^[ab]$")
    text: str
    audience: int
    sent: int
    blocked: int
    failed: int
    unknown: int


class Variants(BaseModel):
    items: list[Variant] = Field(description="Two of an A/B test; none of another broadcast")


@router.get(
    "/{broadcast_id}/variants",
    summary="Compare the texts of an A/B test",
    responses=error_responses(404, 409),
)
async def compare_variants(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_BROADCASTS))],
    api: Annotated[Services, Depends(services)],
    broadcast_id: Id,
) -> Variants:
    """409: it ended so long ago that its recipients are forgotten."""

    def read(engine: GuardedEngine) -> Variants:
        found_or_problem(engine, broadcast_id)
        found = broadcasts.require_progress(engine, broadcast_id)
        if "other" not in found.payload:
            return Variants(items=[])
        deliveries.require_kept(engine, found, datetime.now(UTC))
        counts = deliveries.count_variants(engine, broadcast_id)
        return Variants(items=[_variant(found, name, counts.get(name, {})) for name in (A, B)])

    return await api.database.run(read, name="api.variants", deadline_seconds=SNAPSHOT_SECONDS_MAX)


def _variant(found: Progress, name: str, counts: dict[str, int]) -> Variant:
    ended = {state: counts.get(state, 0) for state in ("sent", "blocked", "failed", "unknown")}
    text = beginning(payload_of(found.payload, name)) or ""
    return Variant(name=name, text=text, audience=sum(counts.values()), **ended)


class Action(StrEnum):
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


@router.post(
    "/{broadcast_id}/{action}",
    summary="Start, pause, resume or cancel a broadcast",
    responses=error_responses(*OF_ACTS),
)
async def change_broadcast(
    caller: Annotated[Caller, Depends(Requires(Permission.BROADCAST))],
    api: Annotated[Services, Depends(services)],
    broadcast_id: Id,
    action: Action,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
    why: Why | None = None,
) -> Broadcast:
    """start: send a draft, or have it sent at its time; a paid one needs its `stars_max`.
    cancel: what is out stays out.
    """
    order = Order(caller, key, f"broadcast.{action}", str(broadcast_id), why.reason if why else "")

    def act(engine: GuardedEngine) -> tuple[bool, Broadcast]:
        service = BroadcastService(engine, Lanes(api.redis, api.inbox, api.publisher))
        replayed = order.was_done(engine)
        if replayed:
            service.take_up(broadcast_id)  # whoever did it may have died before its jobs were on record
        else:
            found_or_problem(engine, broadcast_id)
            _ORDERS[action](service, broadcast_id, order)
        return replayed, found_or_problem(engine, broadcast_id)

    replayed, broadcast = await api.database.run(
        act, name=f"api.{order.action}", deadline_seconds=SNAPSHOT_SECONDS_MAX
    )
    if replayed:
        response.headers[REPLAYED] = "true"
    return broadcast


def _start(service: BroadcastService, broadcast_id: int, order: Order) -> None:
    if StartBroadcast.kind not in JOB_TYPES:
        raise broadcasts_are_off()
    draft = broadcasts.require(service.engine, broadcast_id)
    if draft.paid and draft.stars_max is None:
        raise Problem(
            409, "conflict", gettext("It is paid and has no stars_max: start it where its cost is shown.")
        )
    # Of those it does nothing to, these are what it becomes: the answer of a first try may have been lost.
    if draft.status not in {BroadcastStatus.DRAFT, BroadcastStatus.SCHEDULED, BroadcastStatus.SENDING}:
        raise DoesNothing(broadcast_id, draft.status, gettext_noop("start"))
    job = StartBroadcast(broadcast_id=broadcast_id, actor=order.caller.actor)
    service.start(job, f"api-{order.key}", expected=draft)
    admin_actions.record(service.engine, order.for_the_audit_log(), DONE)


_ORDERS: dict[Action, Callable[[BroadcastService, int, Order], object]] = {
    Action.START: _start,
    Action.PAUSE: lambda service, number, order: service.pause(number, order.for_the_audit_log()),
    Action.RESUME: lambda service, number, order: service.resume(number, order.for_the_audit_log()),
    Action.CANCEL: lambda service, number, order: service.cancel(number, order.for_the_audit_log()),
}


def found_or_problem(engine: GuardedEngine, broadcast_id: int) -> Broadcast:
    """Raises Problem where there is none of this id."""
    found = broadcasts.progress(engine, broadcast_id)
    if found is None:
        raise Problem(404, "not-found", gettext("There is no broadcast {id}.", id=str(broadcast_id)))
    return Broadcast.of(found)
