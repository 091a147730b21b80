"""`/api/v1/broadcasts`: drawing one up, seeing what people would see, and trying it out on an admin."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from ballast.apps.installed import INSTALLED
from ballast.broadcasts import preview, trial_results
from ballast.broadcasts.audience import audience_size
from ballast.broadcasts.cost import stars_for
from ballast.broadcasts.lanes import Lanes
from ballast.builtin.broadcasts import StartBroadcast
from ballast.builtin.composition import Composition, Whole
from ballast.builtin.jobs import TelegramId
from ballast.operators.permissions import Permission
from ballast.queueing.kinds import JOB_TYPES
from ballast.telegram.rate_limiter import FREE_MARGIN, FREE_PER_SECOND, PAID_MARGIN, PAID_PER_SECOND
from ballast.texts import gettext, said
from bot_frontend.web.api.broadcasts import Broadcast, Id, found_or_problem
from bot_frontend.web.api.callers import Caller, Requires
from bot_frontend.web.api.models import OF_ACTS, Page, error_responses
from bot_frontend.web.api.orders import REPLAYED, Order, idempotency_key
from bot_frontend.web.api.problems import Problem
from bot_frontend.web.api.refusals import broadcasts_are_off
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from dbcore import admin_actions
from dbcore.admin_actions import DONE
from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import SNAPSHOT_SECONDS_MAX
from dbcore.guard.engine import GuardedEngine

router = router_of("/broadcasts", tag="broadcasts")

Look = Literal["bold", "italic", "underline", "strikethrough", "spoiler", "quote", "link", "code", "pre"]


class Piece(BaseModel):
    text: str
    looks: list[Look]
    url: str | None


class Preview(BaseModel):
    """What people would see, and how many they are."""

    text: list[Piece] = Field(description="The text in pieces, each with how it looks")
    other: list[Piece] | None = Field(description="What every second person sees instead")
    audience: int | None = Field(description="null where it was not asked for")
    seconds: float | None = Field(description="How long it takes to send")
    stars: int | None = Field(description="What it costs at most; of a paid one")


class Segments(BaseModel):
    apps: list[str] = Field(description="The segments of apps")
    admins: list[int] = Field(description="Telegram IDs of those to whom a test can be sent")


class Trial(BaseModel):
    model_config = ConfigDict(extra="forbid")

    telegram_id: Whole = TelegramId


class TestSend(BaseModel):
    telegram_id: int = Field(description="To whom")
    sent: bool | None = Field(description="null until it ended")
    error: str | None = Field(description="What Telegram said, if it did not take it")


@router.get("/options", summary="What a broadcast can be composed of", responses=error_responses())
async def composing_options(
    _: Annotated[Caller, Depends(Requires(Permission.BROADCAST))], api: Annotated[Services, Depends(services)]
) -> Segments:
    return Segments(apps=sorted(INSTALLED.segments), admins=sorted(api.settings.admin_ids))


@router.post(
    "/preview",
    summary="Show what people would see, and how many they are",
    responses=error_responses(400, 409, 504),
)
async def preview_broadcast(
    caller: Annotated[Caller, Depends(Requires(Permission.BROADCAST))],
    api: Annotated[Services, Depends(services)],
    composition: Composition,
    count: bool = False,
) -> Preview:
    """Changes nothing, so it needs no Idempotency-Key. count: count the audience, too."""
    _require_owner_of_query(caller, composition)
    audience = None
    if count:
        audience = await api.database.run(
            lambda engine: audience_size(engine, composition.segment.parts()),
            name="api.broadcast_audience",
            deadline_seconds=SNAPSHOT_SECONDS_MAX,
        )
    rate = PAID_MARGIN * PAID_PER_SECOND if composition.paid else FREE_MARGIN * FREE_PER_SECOND
    other = composition.other
    return Preview(
        text=_pieces(preview.pieces(composition.text or "", composition.entities)),
        other=None if other is None else _pieces(preview.pieces(other.text, other.entities)),
        audience=audience,
        seconds=None if audience is None else audience / rate,
        stars=None if audience is None or not composition.paid else stars_for(audience),
    )


@router.post("", summary="Draw up a broadcast", responses=error_responses(*OF_ACTS))
async def create_broadcast(
    caller: Annotated[Caller, Depends(Requires(Permission.BROADCAST))],
    api: Annotated[Services, Depends(services)],
    composition: Composition,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> Broadcast:
    """A draft: nobody gets it before it is started. With `scheduled_for` it begins at that time, once it is started."""
    if not composition.has_message:
        raise Problem(409, "unsendable", gettext("Expected a text or media."))
    _require_owner_of_query(caller, composition)
    contradiction = composition.contradiction(datetime.now(UTC))

    def act(engine: GuardedEngine) -> tuple[bool, Broadcast]:
        before = broadcasts.find_by_key(engine, f"api-{key}")
        if before is None and contradiction is not None:
            raise Problem(409, "unsendable", said(contradiction))
        kept = composition.kept()
        if before is not None and any(getattr(before, name) != value for name, value in kept.items()):
            raise Problem(
                409,
                "idempotency-key-reused",
                gettext("This Idempotency-Key made broadcast {id}.", id=str(before.id)),
            )
        made = before or broadcasts.create(engine, key=f"api-{key}", actor=caller.actor, draft=True, **kept)
        order = Order(caller, key, "broadcast.create", str(made.id))
        admin_actions.record(engine, order.for_the_audit_log(), DONE)
        return before is not None, Broadcast.of(made)

    replayed, made = await api.database.run(act, name="api.broadcast.create")
    if replayed:
        response.headers[REPLAYED] = "true"
    return made


@router.post(
    "/{broadcast_id}/test", summary="Send a broadcast to one admin", responses=error_responses(*OF_ACTS)
)
async def try_broadcast(
    caller: Annotated[Caller, Depends(Requires(Permission.BROADCAST))],
    api: Annotated[Services, Depends(services)],
    broadcast_id: Id,
    trial: Trial,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> Broadcast:
    """As everybody would get it; of an A/B test both texts. telegram_id: one of ADMIN_IDS."""
    if StartBroadcast.kind not in JOB_TYPES:
        raise broadcasts_are_off()
    if trial.telegram_id not in api.settings.admin_ids:
        raise Problem(409, "conflict", gettext("A test goes to one of ADMIN_IDS."))
    order = Order(caller, key, "broadcast.test", f"{broadcast_id} {trial.telegram_id}")

    def act(engine: GuardedEngine) -> tuple[bool, Broadcast]:
        replayed = order.was_done(engine)
        found = found_or_problem(engine, broadcast_id)
        lanes = Lanes(api.redis, api.inbox, api.publisher)
        lanes.try_out(broadcast_id, trial.telegram_id, f"api-{key}")
        admin_actions.record(engine, order.for_the_audit_log(), DONE)
        return replayed, found

    replayed, found = await api.database.run(act, name="api.broadcast.test")
    if replayed:
        response.headers[REPLAYED] = "true"
    return found


@router.get("/{broadcast_id}/tests", summary="What became of test sends", responses=error_responses())
async def list_tests(
    _: Annotated[Caller, Depends(Requires(Permission.BROADCAST))],
    api: Annotated[Services, Depends(services)],
    broadcast_id: Id,
) -> Page[TestSend]:
    """The last one to each admin, for a day."""
    found = await asyncio.to_thread(trial_results.read, api.redis, broadcast_id)
    items = [
        TestSend(telegram_id=admin, sent=each.sent, error=each.error) for admin, each in sorted(found.items())
    ]
    return Page(items=items, next_cursor=None)


def _pieces(found: list[preview.Piece]) -> list[Piece]:
    return [Piece.model_validate(asdict(each)) for each in found]


def _require_owner_of_query(caller: Caller, composition: Composition) -> None:
    """Raises Problem: a query reads all that there is."""
    if composition.segment.sql is not None:
        caller.require(Permission.QUERY)
