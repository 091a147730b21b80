"""`/api/v1/holds`: money that apps hold on people's accounts, and its end by an operator."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Response
from pydantic import BaseModel, Field

from ballast.operators.permissions import Permission
from ballast.texts import gettext, gettext_noop
from bot_frontend.web.api.callers import Caller, Requires
from bot_frontend.web.api.models import OF_ACTS, Amount, Moment, Page, Person, Whom, error_responses
from bot_frontend.web.api.orders import ReasonOrder, act_of, idempotency_key, outcome_of
from bot_frontend.web.api.paging import LIMIT, Cursor, Limit, cursor_of, place_of
from bot_frontend.web.api.problems import Problem
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.users import TELEGRAM_ID_LIMIT, UserRef
from dbcore.outcomes import HoldEndOutcome, HoldState, RejectionReason
from dbcore.people import acts, holds
from dbcore.people.acts import Act
from dbcore.people.holds import HoldFilters, ListedHold

router = router_of("/holds", tag="holds")

Number = Annotated[int, Path(ge=1, lt=2**63)]

_WHY_NOT = {
    RejectionReason.ALREADY_POSTED: gettext_noop("The hold was posted before."),
    RejectionReason.ALREADY_VOIDED: gettext_noop("The hold was voided before."),
    RejectionReason.EXPIRED: gettext_noop("The hold has expired."),
    RejectionReason.MORE_THAN_HELD: gettext_noop("It is more than is held."),
}


class Hold(BaseModel):
    """Amounts are minor units."""

    id: int
    owner: Person = Field(description="Whose money it is")
    amount: int
    currency: str
    memo: str
    actor: str = Field(description="Who held it, such as an app")
    state: HoldState
    posted_amount: int | None = Field(description="What was taken of it")
    transfer_id: int | None = Field(description="The transfer that took it")
    created_at: Moment
    expires_at: Moment | None = Field(description="null: only when it is posted or voided")
    ended_at: Moment | None

    @classmethod
    def of(cls, found: ListedHold) -> Hold:
        fields = {name: getattr(found, name) for name in cls.model_fields}
        return cls(**{**fields, "owner": Person.of(found.owner)})


class PostOrder(ReasonOrder):
    amount: Amount | None = Field(default=None, description="Minor units; all of it if it is missing")
    to: Whom | None = Field(
        default=None, description="The Telegram id of who receives it; the house if it is missing"
    )


@router.get("", summary="List holds", responses=error_responses())
async def list_holds(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_TRANSFERS))],
    api: Annotated[Services, Depends(services)],
    state: HoldState | None = None,
    telegram_id: Annotated[int | None, Query(gt=0, lt=TELEGRAM_ID_LIMIT)] = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[Hold]:
    before = place_of(cursor)
    filters = HoldFilters(state, telegram_id)
    found = await api.database.run(
        lambda engine: holds.holds(engine, before=before, limit=limit, filters=filters), name="api.holds"
    )
    return Page(items=[Hold.of(each) for each in found.items], next_cursor=cursor_of(found.next_before))


@router.get("/{hold_id}", summary="Look at a hold", responses=error_responses(404))
async def look_at_hold(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_TRANSFERS))],
    api: Annotated[Services, Depends(services)],
    hold_id: Number,
) -> Hold:
    return await _look(api, hold_id)


@router.post(
    "/{hold_id}/post", summary="Take what is held, or a part of it", responses=error_responses(*OF_ACTS)
)
async def post_hold(
    caller: Annotated[Caller, Depends(Requires(Permission.SETTLE_HOLDS))],
    api: Annotated[Services, Depends(services)],
    hold_id: Number,
    order: PostOrder,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> Hold:
    """The rest, if there is any, is available to its owner again."""
    to = None if order.to is None else UserRef(telegram_id=order.to)
    act = act_of(key, caller, order.reason)
    return await _end(api, act, hold_id, response, post=True, amount=order.amount, to=to)


@router.post("/{hold_id}/void", summary="Give back what is held", responses=error_responses(*OF_ACTS))
async def void_hold(
    caller: Annotated[Caller, Depends(Requires(Permission.SETTLE_HOLDS))],
    api: Annotated[Services, Depends(services)],
    hold_id: Number,
    order: ReasonOrder,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> Hold:
    """It is available to its owner again."""
    return await _end(api, act_of(key, caller, order.reason), hold_id, response, post=False)


async def _end(
    api: Services,
    act: Act,
    hold_id: int,
    response: Response,
    *,
    post: bool,
    amount: int | None = None,
    to: UserRef | None = None,
) -> Hold:
    def have_done(engine: GuardedEngine) -> HoldEndOutcome:
        outcome = acts.end_hold(engine, act, hold_id=hold_id, post=post, amount=amount, to=to)
        api.tell_soon()
        return outcome

    done = await api.database.move(have_done, name="api.hold.end")
    if done.reason is RejectionReason.UNKNOWN_HOLD:
        raise _unknown(hold_id)
    if (why := _WHY_NOT.get(done.reason) if done.reason else None) is not None:
        raise Problem(409, "rejected", gettext(why), reason=str(done.reason))
    outcome_of(done, response)
    return await _look(api, hold_id)


async def _look(api: Services, hold_id: int) -> Hold:
    found = await api.database.run(lambda engine: holds.hold(engine, hold_id), name="api.hold")
    if found is None:
        raise _unknown(hold_id)
    return Hold.of(found)


def _unknown(hold_id: int) -> Problem:
    return Problem(404, "not-found", gettext("There is no hold {id}.", id=str(hold_id)))
