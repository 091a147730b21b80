"""`/api/v1/users`: people, their money, and what an operator does about them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from ballast.operators.permissions import Permission
from ballast.people import orders
from bot_frontend.web.api.callers import Caller, Requires
from bot_frontend.web.api.models import (
    OF_ACTS,
    Minor,
    Moment,
    Page,
    Person,
    Reason,
    Time,
    error_responses,
)
from bot_frontend.web.api.orders import ReasonOrder, act_of, idempotency_key, outcome_of
from bot_frontend.web.api.paging import LIMIT, Cursor, Limit, cursor_of, place_of
from bot_frontend.web.api.refusals import unknown_user
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from dbcore.expectations import shaped
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.users import TELEGRAM_ID_LIMIT, UserRef, UserStatus
from dbcore.people import card, lists, movements, search
from dbcore.people.acts import StatusOutcome
from dbcore.people.lists import UserFilters
from dbcore.people.movements import Filters
from dbcore.people.person import Person as PersonRecord
from dbcore.people.search import TEXT_LENGTH_MAX

router = router_of("/users", tag="users")

OfCurrency = Annotated[
    str | None,
    Query(max_length=12, description="The code of one of the bot's currencies; the first if it is missing"),
]
TelegramId = Annotated[int, Path(gt=0, lt=TELEGRAM_ID_LIMIT)]


class BalanceIn(BaseModel):
    """What somebody has in one currency, in its minor units."""

    currency: str
    balance: int
    held: int


class User(BaseModel):
    """Somebody with their account. Names are as Telegram said them last; money is minor units."""

    telegram_id: int
    username: str | None
    first_name: str
    status: UserStatus
    balance: int
    held: int = Field(description="What of the balance is held, and cannot be spent")
    available: int
    currency: str
    other_balances: list[BalanceIn] = Field(
        description="In further currencies; of one user, and empty in lists"
    )
    sending_frozen: bool
    receiving_frozen: bool
    language: str | None = Field(description="That they chose; null if they did not")
    language_code: str | None = Field(description="That Telegram says")
    time_zone: str | None
    first_seen_at: Moment
    last_seen_at: Moment | None

    @classmethod
    def of(cls, found: PersonRecord, currency: str) -> User:
        others = [
            BalanceIn(currency=each.currency, balance=each.balance, held=each.held)
            for each in found.balances[1:]
        ]
        given = {"currency": currency, "other_balances": others}
        fields = {name: getattr(found, name) for name in cls.model_fields if name not in given}
        return cls(**given, **fields)


class Movement(BaseModel):
    """One entry of somebody's account. `amount` is signed."""

    version: int = Field(description="Counts the account's entries, from 1")
    transfer_id: int
    amount: int
    balance_after: int
    kind: str
    memo: str
    actor: str
    counterparty: Person | None = Field(description="null: an account of the bot's own")
    reverses: int | None
    reversed_amount: int
    created_at: Moment

    @classmethod
    def of(cls, found: movements.Movement) -> Movement:
        fields = {name: getattr(found, name) for name in cls.model_fields}
        return cls(**{**fields, "counterparty": Person.of(found.counterparty)})


class FreezeOrder(ReasonOrder):
    refuses: Literal["sending", "everything"] | None = Field(
        default=None,
        description="What the account refuses: sending, or receiving too. Default: FREEZE_REFUSES",
    )


class UnfreezeOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Reason


def user_filters(
    status: UserStatus | None = None,
    frozen: bool | None = None,
    language: Annotated[str | None, Query(max_length=16)] = None,
    balance_min: Annotated[int | None, Query(gt=-(2**63), lt=2**63)] = None,
    balance_max: Annotated[int | None, Query(gt=-(2**63), lt=2**63)] = None,
    joined_since: Time | None = None,
    seen_since: Time | None = None,
    seen_until: Time | None = None,
) -> UserFilters:
    """A dependency."""
    return UserFilters(
        status, frozen, language, balance_min, balance_max, joined_since, seen_since, seen_until
    )


def movement_filters(
    kind: Annotated[
        str | None,
        Query(pattern=shaped(r"^[a-z_]{1,32}$", "a kind of transfers, such as transfer or reversal")),
    ] = None,
    direction: Literal["in", "out"] | None = None,
    counterparty: Annotated[int | None, Query(gt=0, lt=TELEGRAM_ID_LIMIT)] = None,
    amount_min: Minor = None,
    amount_max: Minor = None,
    since: Time | None = None,
    until: Time | None = None,
) -> Filters:
    """A dependency. Amounts are unsigned."""
    return Filters(kind, direction, counterparty, amount_min, amount_max, since, until)


@router.get("", summary="Find users, or list them", responses=error_responses())
async def list_users(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_PEOPLE))],
    api: Annotated[Services, Depends(services)],
    filters: Annotated[UserFilters, Depends(user_filters)],
    q: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=TEXT_LENGTH_MAX,
            description="A name or a part of one, @username, link, Telegram id, transfer's number, job's reference, "
            "idempotency key or charge. What is found has no further page, and is not filtered.",
        ),
    ] = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[User]:
    currency = api.settings.currency
    if q is not None:
        found = await api.database.run(
            lambda engine: search.search(engine, q, limit=limit), name="api.users.search"
        )
        return Page(items=[User.of(each.person, currency) for each in found], next_cursor=None)
    before = place_of(cursor)
    page = await api.database.run(
        lambda engine: lists.users(engine, before=before, limit=limit, filters=filters), name="api.users"
    )
    return Page(
        items=[User.of(each, currency) for each in page.items],
        next_cursor=cursor_of(page.next_before),
    )


@router.get("/{telegram_id}", summary="Look at a user", responses=error_responses(404))
async def look_at_user(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_PEOPLE))],
    api: Annotated[Services, Depends(services)],
    telegram_id: TelegramId,
) -> User:
    found = await api.database.run(
        lambda engine: card.find(engine, UserRef(telegram_id=telegram_id)), name="api.user"
    )
    if found is None:
        raise unknown_user(telegram_id)
    return User.of(found, api.settings.currency)


@router.get("/{telegram_id}/movements", summary="List a user's movements", responses=error_responses(404))
async def list_movements(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_PEOPLE))],
    api: Annotated[Services, Depends(services)],
    telegram_id: TelegramId,
    filters: Annotated[Filters, Depends(movement_filters)],
    currency: OfCurrency = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[Movement]:
    """Newest first, in one currency. Amounts of filters are unsigned."""
    before = place_of(cursor)
    api.require_currency(currency)

    def read(engine: GuardedEngine) -> movements.MovementsPage:
        page = movements.movements(
            engine, telegram_id, before=before, limit=limit, filters=filters, currency=currency
        )
        if not page.movements and card.find(engine, UserRef(telegram_id=telegram_id)) is None:
            raise unknown_user(telegram_id)
        return page

    page = await api.database.run(read, name="api.movements")
    return Page(
        items=[Movement.of(each) for each in page.movements],
        next_cursor=cursor_of(page.next_before),
    )


@router.post("/{telegram_id}/freeze", summary="Freeze an account", responses=error_responses(*OF_ACTS))
async def freeze_user(
    caller: Annotated[Caller, Depends(Requires(Permission.FREEZE))],
    api: Annotated[Services, Depends(services)],
    telegram_id: TelegramId,
    order: FreezeOrder,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> User:
    """From the answer on the ledger refuses what the account would send, or receive too."""

    def act(engine: GuardedEngine) -> StatusOutcome:
        outcome = orders.freeze(
            engine,
            act_of(key, caller, order.reason),
            target=UserRef(telegram_id=telegram_id),
            refuses=order.refuses or api.settings.freeze_refuses,
        )
        api.tell_soon()
        return outcome

    outcome_of(await api.database.run(act, name="api.user.freeze"), response, of_user=telegram_id)
    return await look_at_user(caller, api, telegram_id)


@router.post("/{telegram_id}/unfreeze", summary="Unfreeze an account", responses=error_responses(*OF_ACTS))
async def unfreeze_user(
    caller: Annotated[Caller, Depends(Requires(Permission.FREEZE))],
    api: Annotated[Services, Depends(services)],
    telegram_id: TelegramId,
    order: UnfreezeOrder,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> User:
    """It sends and receives again."""

    def act(engine: GuardedEngine) -> StatusOutcome:
        outcome = orders.unfreeze(
            engine, act_of(key, caller, order.reason), target=UserRef(telegram_id=telegram_id)
        )
        api.tell_soon()
        return outcome

    outcome_of(await api.database.run(act, name="api.user.unfreeze"), response, of_user=telegram_id)
    return await look_at_user(caller, api, telegram_id)
