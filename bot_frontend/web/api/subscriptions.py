"""`/api/v1/subscriptions`, and those of a user: how they stand, and the renewal of one."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Response
from pydantic import BaseModel, Field

from ballast.operators.permissions import Permission
from ballast.subscriptions import changing
from ballast.texts import gettext
from bot_frontend.web.api.callers import Caller, Requires
from bot_frontend.web.api.models import OF_ACTS, Moment, Page, Person, error_responses
from bot_frontend.web.api.orders import ReasonOrder, act_of, idempotency_key, outcome_of
from bot_frontend.web.api.problems import Problem
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from bot_frontend.web.api.users import TelegramId
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import star_subscriptions
from dbcore.ledger.star_subscriptions import Renewal, Subscription, Wanted
from dbcore.outcomes import Outcome, RejectionReason

router = router_of(tag="subscriptions")

Number = Annotated[int, Path(ge=1, lt=2**63)]
Acting = Annotated[Caller, Depends(Requires(Permission.REFUND))]
Key = Annotated[str, Depends(idempotency_key)]
Api = Annotated[Services, Depends(services)]


class ASubscription(BaseModel):
    number: int
    owner: Person
    plan: str
    stars: int = Field(description="For each 30 days")
    renewal: Renewal
    cancelled_by_bot: bool = Field(description="Its user cannot turn the renewal on until that is allowed")
    wanted: Wanted | None = Field(description="What Telegram is being asked")
    refusal: str | None = Field(description="Why Telegram refused the last change")
    is_paid: bool
    begun_at: Moment
    expires_at: Moment = Field(description="Until when it is paid")

    @classmethod
    def of(cls, found: Subscription) -> ASubscription:
        fields = {name: getattr(found, name) for name in cls.model_fields}
        return cls(**{**fields, "owner": Person.of(found.owner)})


@router.get(
    "/users/{telegram_id}/subscriptions", summary="A user's subscriptions", responses=error_responses()
)
async def subscriptions_of_user(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_PEOPLE))], api: Api, telegram_id: TelegramId
) -> Page[ASubscription]:
    """The newest first, at most 100."""
    found = await api.database.run(
        lambda engine: star_subscriptions.listed(engine, telegram_id=telegram_id), name="api.subscriptions"
    )
    return Page(items=[ASubscription.of(each) for each in found], next_cursor=None)


@router.post(
    "/subscriptions/{number}/cancel-renewal",
    summary="Cancel the renewal of a subscription",
    responses=error_responses(*OF_ACTS),
)
async def cancel_renewal(
    caller: Acting, api: Api, number: Number, order: ReasonOrder, key: Key, response: Response
) -> ASubscription:
    """Telegram is asked until it has answered; it is cancelled only then. What is paid stays."""
    return await _have_changed(api, caller, number, "cancelled", order.reason, key, response)


@router.post(
    "/subscriptions/{number}/allow-renewal",
    summary="Allow a renewal again",
    responses=error_responses(*OF_ACTS),
)
async def allow_renewal(
    caller: Acting, api: Api, number: Number, order: ReasonOrder, key: Key, response: Response
) -> ASubscription:
    """One that this bot cancelled. Nothing is charged: its user can turn it on again in Telegram."""
    return await _have_changed(api, caller, number, "allowed", order.reason, key, response)


async def _have_changed(
    api: Services, caller: Caller, number: int, wanted: Wanted, reason: str, key: str, response: Response
) -> ASubscription:
    def have_changed(engine: GuardedEngine) -> Outcome:
        outcome = changing.have_changed(engine, act_of(key, caller, reason), number=number, wanted=wanted)
        api.tell_soon()
        return outcome

    done = await api.database.move(have_changed, name="api.subscription.change")
    found = await api.database.run(
        lambda engine: star_subscriptions.find(engine, number), name="api.subscription"
    )
    if done.reason is RejectionReason.UNKNOWN_SUBSCRIPTION or found is None:
        raise Problem(404, "not-found", gettext("There is no subscription {number}.", number=str(number)))
    outcome_of(done, response)
    return ASubscription.of(found)
