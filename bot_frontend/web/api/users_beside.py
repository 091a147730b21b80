"""`/api/v1/users/{telegram_id}/…` beside money: what failed, what waits, broadcasts that somebody received, a message
to them, and the erasure of their data.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from ballast.broadcasts.preview import beginning
from ballast.builtin.people import MESSAGE_LENGTH_MAX
from ballast.operators.permissions import Permission
from ballast.people import finding, orders
from ballast.texts import said
from bot_frontend.web.api.callers import Caller, Requires
from bot_frontend.web.api.models import OF_ACTS, Moment, Page, Person, Seen, error_responses
from bot_frontend.web.api.orders import ReasonOrder, act_of, idempotency_key, outcome_of
from bot_frontend.web.api.refusals import unknown_user
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from bot_frontend.web.api.users import TelegramId
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.users import UserRef
from dbcore.people import card, refusals
from dbcore.people.acts import StatusOutcome
from dbcore.people.person import Person as PersonRecord

router = router_of("/users", tag="users")


class Failure(BaseModel):
    """What failed for somebody. `amount` is minor units, signed of an adjustment."""

    what: Literal["transfer", "adjustment", "ledger", "job"]
    number: str = Field(description="Of the request or the transfer; of a job its reference")
    settled: bool = Field(description="False for a failed job that is still open")
    reason: str
    why: str = Field(description="The reason in words")
    amount: int | None
    currency: str | None
    memo: str
    counterparty: Person | None
    failed_at: Moment

    @classmethod
    def of(cls, found: refusals.Refused) -> Failure:
        fields = {name: getattr(found, name) for name in cls.model_fields}
        return cls(**{**fields, "why": said(found.why), "counterparty": Person.of(found.counterparty)})


class Waiting(BaseModel):
    """A job on record, or a transfer that waits for somebody's Confirm. `amount` is minor units."""

    what: Literal["job", "confirmation"]
    number: str = Field(description="A job's reference, or the number of the request")
    kind: str | None = Field(description="Of a job")
    amount: int | None
    currency: str | None
    counterparty: Person | None


class Received(BaseModel):
    """A broadcast to somebody, and what became of it."""

    broadcast_id: int
    status: str
    error: str | None
    text: str | None = Field(description="The beginning of its text; null for copied messages")
    updated_at: Moment


class MessageOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Annotated[
        str,
        Field(min_length=1, max_length=MESSAGE_LENGTH_MAX, description="What they read; no markup"),
        Seen,
    ]


class Done(BaseModel):
    telegram_id: int


@router.post("/{telegram_id}/message", summary="Send a user a message", responses=error_responses(*OF_ACTS))
async def message_user(
    caller: Annotated[Caller, Depends(Requires(Permission.MESSAGE))],
    api: Annotated[Services, Depends(services)],
    telegram_id: TelegramId,
    order: MessageOrder,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> Done:
    """From the operators, by the bot."""

    def act(engine: GuardedEngine) -> StatusOutcome:
        outcome = orders.message(
            engine, act_of(key, caller, order.text), target=UserRef(telegram_id=telegram_id)
        )
        api.tell_soon()
        return outcome

    outcome_of(await api.database.run(act, name="api.user.message"), response, of_user=telegram_id)
    return Done(telegram_id=telegram_id)


@router.post("/{telegram_id}/erase", summary="Erase a user's data", responses=error_responses(*OF_ACTS))
async def erase_user(
    caller: Annotated[Caller, Depends(Requires(Permission.ERASE))],
    api: Annotated[Services, Depends(services)],
    telegram_id: TelegramId,
    order: ReasonOrder,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> Done:
    """Username, name, language and time zone, also in failed jobs; not the ledger. It cannot be undone."""

    def act(engine: GuardedEngine) -> StatusOutcome:
        return orders.erase(
            engine, act_of(key, caller, order.reason), target=UserRef(telegram_id=telegram_id)
        )

    outcome_of(await api.database.run(act, name="api.user.erase"), response, of_user=telegram_id)
    return Done(telegram_id=telegram_id)


@router.get("/{telegram_id}/failures", summary="List what failed for a user", responses=error_responses(404))
async def list_failures(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_PEOPLE))],
    api: Annotated[Services, Depends(services)],
    telegram_id: TelegramId,
) -> Page[Failure]:
    """The newest 20, in one page."""

    def read(engine: GuardedEngine) -> list[refusals.Refused]:
        return refusals.refusals(engine, _known(engine, telegram_id).user_id, telegram_id)

    found = await api.database.run(read, name="api.user.failures")
    return Page(items=[Failure.of(each) for each in found], next_cursor=None)


@router.get("/{telegram_id}/waiting", summary="List what waits for a user", responses=error_responses(404))
async def list_waiting(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_PEOPLE))],
    api: Annotated[Services, Depends(services)],
    telegram_id: TelegramId,
) -> Page[Waiting]:
    """Jobs on record, oldest first, and transfers that they were asked to confirm; in one page."""

    def read(engine: GuardedEngine) -> list[Waiting]:
        person = _known(engine, telegram_id)
        asked = [
            Waiting(
                what="confirmation",
                number=str(each.number),
                kind=None,
                amount=each.amount,
                currency=each.currency,
                counterparty=Person.of(each.recipient),
            )
            for each in card.unconfirmed(engine, person.user_id)
        ]
        jobs = finding.waiting(api.redis, telegram_id) or []
        return [
            *(
                Waiting(
                    what="job",
                    number=job["reference"],
                    kind=job["kind"],
                    amount=None,
                    currency=None,
                    counterparty=None,
                )
                for job in jobs
            ),
            *asked,
        ]

    return Page(items=await api.database.run(read, name="api.user.waiting"), next_cursor=None)


@router.get(
    "/{telegram_id}/broadcasts",
    summary="List the broadcasts that a user received",
    responses=error_responses(404),
)
async def list_received(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_PEOPLE))],
    api: Annotated[Services, Depends(services)],
    telegram_id: TelegramId,
) -> Page[Received]:
    """Of the newest 50 broadcasts, in one page."""

    def read(engine: GuardedEngine) -> list[card.BroadcastReceived]:
        return card.broadcasts_received(engine, _known(engine, telegram_id).user_id)

    found = await api.database.run(read, name="api.user.broadcasts")
    names = Received.model_fields.keys() - {"text"}
    items = [
        Received(text=beginning(each.payload), **{name: getattr(each, name) for name in names})
        for each in found
    ]
    return Page(items=items, next_cursor=None)


def _known(engine: GuardedEngine, telegram_id: int) -> PersonRecord:
    """Raises Problem."""
    person = card.find(engine, UserRef(telegram_id=telegram_id))
    if person is None:
        raise unknown_user(telegram_id)
    return person
