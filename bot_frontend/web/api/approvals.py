"""Money that operators give and take: `/api/v1/users/<telegram_id>/credit` and `/debit`; and `/api/v1/approvals`, what
of it is above a limit and waits for an owner.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from ballast.operators.permissions import Permission
from ballast.people import orders
from ballast.texts import gettext, said
from bot_frontend.web.access import Operator
from bot_frontend.web.api.callers import Caller, Requires
from bot_frontend.web.api.models import OF_ACTS, Amount, Moment, Page, Person, Reason, error_responses
from bot_frontend.web.api.orders import REPLAYED, Why, act_of, idempotency_key, outcome_of
from bot_frontend.web.api.paging import LIMIT, Cursor, Limit, cursor_of, place_of
from bot_frontend.web.api.problems import Problem
from bot_frontend.web.api.refusals import rejected
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from bot_frontend.web.api.users import TelegramId
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.pending_adjustments import Limits
from dbcore.ledger.users import UserRef
from dbcore.outcomes import AdjustOutcome
from dbcore.people import approvals
from dbcore.people.acts import Act
from dbcore.people.approvals import Answer, ApprovalStatus, decided_already
from dbcore.roles import Role
from dbcore.settings import Settings

router = router_of()

ApprovalId = Annotated[int, Path(gt=0, lt=2**63)]


class AdjustmentOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    amount: Amount
    currency: str | None = Field(
        default=None,
        max_length=12,
        description="The code of one of the bot's currencies; the first if it is missing",
    )
    reason: Reason = Field(description="Why; the person reads it as the memo")


class Adjustment(BaseModel):
    """A credit or a debit. `amount` is signed; `balance` is the one right after it."""

    transfer_id: int
    user: Person
    amount: int
    balance: int
    currency: str


class Approval(BaseModel):
    """A credit or debit above a limit. `amount` is signed."""

    id: int
    actor: str = Field(description="Who asked for it")
    telegram_id: int = Field(description="Whom it is about")
    amount: int
    currency: str
    reason: str
    exceeds: str = Field(description="The limit: over_limit, or over_daily_limit")
    status: ApprovalStatus = Field(description="refused: approved, and refused by the ledger")
    refusal: str | None = Field(description="Why the ledger refused it")
    decided_by: str | None
    decided_at: Moment | None
    created_at: Moment
    expires_at: Moment

    @classmethod
    def of(cls, found: approvals.Approval) -> Approval:
        return cls(**{name: getattr(found, name) for name in cls.model_fields})


_WAITS: dict[int | str, dict[str, Any]] = {
    202: {
        "model": Approval,
        "description": "It is above the caller's limit: it waits for an owner's approval.",
    }
}


@router.post(
    "/users/{telegram_id}/credit",
    tags=["users"],
    summary="Credit a user",
    response_model=Adjustment,
    responses=error_responses(*OF_ACTS) | _WAITS,
)
async def credit_user(
    caller: Annotated[Caller, Depends(Requires(Permission.ADJUST))],
    api: Annotated[Services, Depends(services)],
    telegram_id: TelegramId,
    order: AdjustmentOrder,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> Adjustment | Response:
    """At once. What the ledger refuses is refused again by the same Idempotency-Key."""
    act = act_of(key, caller, order.reason)
    return await _adjust(api, caller, telegram_id, order.amount, order.currency, act, response)


@router.post(
    "/users/{telegram_id}/debit",
    tags=["users"],
    summary="Debit a user",
    response_model=Adjustment,
    responses=error_responses(*OF_ACTS) | _WAITS,
)
async def debit_user(
    caller: Annotated[Caller, Depends(Requires(Permission.ADJUST))],
    api: Annotated[Services, Depends(services)],
    telegram_id: TelegramId,
    order: AdjustmentOrder,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> Adjustment | Response:
    """At once. What the ledger refuses is refused again by the same Idempotency-Key."""
    act = act_of(key, caller, order.reason)
    return await _adjust(api, caller, telegram_id, -order.amount, order.currency, act, response)


async def _adjust(
    api: Services,
    caller: Caller,
    telegram_id: int,
    amount: int,
    currency: str | None,
    act: Act,
    response: Response,
) -> Adjustment | Response:
    api.require_currency(currency)

    def have_done(engine: GuardedEngine) -> AdjustOutcome | Answer:
        limited = _limited(caller, api.settings)
        if limited is None or limited.telegram_id is None:
            done: AdjustOutcome | Answer = orders.adjust(
                engine, act, target=UserRef(telegram_id=telegram_id), amount=amount, currency=currency
            )
        else:
            done = orders.adjust_within(
                engine,
                act,
                operator_id=limited.telegram_id,
                target_id=telegram_id,
                amount=amount,
                limits=Limits.of(api.settings, limited.role),
                currency=currency,
            )
        api.tell_soon()
        return done

    done = await api.database.move(have_done, name="api.user.adjust")
    if isinstance(done, Answer):
        return _waits(done)
    outcome_of(done, response, of_user=telegram_id)
    user = Person.of(done.target)
    assert done.transfer_id and done.balance_after is not None and user  # noqa: S101  it was not refused
    return Adjustment(
        transfer_id=done.transfer_id,
        user=user,
        amount=amount,
        balance=done.balance_after,
        currency=done.currency,
    )


def _limited(caller: Caller, settings: Settings) -> Operator | None:
    """The caller, if they have limits: who signed in as themselves. Owners have only those of ROLE_LIMITS."""
    operator = caller.operator
    is_free = operator is not None and operator.role is Role.OWNER and Role.OWNER not in settings.role_limits
    return None if is_free else operator


def _waits(answer: Answer) -> Response:
    """Raises Problem for what is not waiting any more."""
    found = answer.approval
    if found.status is ApprovalStatus.EXPIRED:
        raise Problem(409, "conflict", gettext("It waited for an owner's approval, and has expired."))
    if found.status is not ApprovalStatus.WAITING:
        raise Problem(409, "conflict", said(decided_already(found)))
    headers = {REPLAYED: "true"} if answer.replayed else None
    return JSONResponse(Approval.of(found).model_dump(mode="json"), 202, headers)


@router.get("/approvals", tags=["operators"], summary="List approvals", responses=error_responses())
async def list_approvals(
    _: Annotated[Caller, Depends(Requires(Permission.APPROVE))],
    api: Annotated[Services, Depends(services)],
    waiting: Annotated[bool, Query(description="Only those that can be decided")] = False,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[Approval]:
    """Credits and debits above a limit, newest first."""
    before = place_of(cursor)
    found = await api.database.run(
        lambda engine: approvals.recent(engine, only_waiting=waiting, before=before, limit=limit),
        name="api.approvals",
    )
    return Page(items=[Approval.of(each) for each in found.items], next_cursor=cursor_of(found.next_before))


@router.post(
    "/approvals/{approval_id}/approve",
    tags=["operators"],
    summary="Approve a credit or debit",
    responses=error_responses(*OF_ACTS),
)
async def approve(
    caller: Annotated[Caller, Depends(Requires(Permission.APPROVE))],
    api: Annotated[Services, Depends(services)],
    approval_id: ApprovalId,
    why: Why,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> Approval:
    """The money moves with the answer. Nobody approves what they asked for."""
    return await _decide(api, caller, approval_id, why, key, response, approve=True)


@router.post(
    "/approvals/{approval_id}/decline",
    tags=["operators"],
    summary="Decline a credit or debit",
    responses=error_responses(*OF_ACTS),
)
async def decline(
    caller: Annotated[Caller, Depends(Requires(Permission.APPROVE))],
    api: Annotated[Services, Depends(services)],
    approval_id: ApprovalId,
    why: Why,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> Approval:
    """Nothing moves."""
    return await _decide(api, caller, approval_id, why, key, response, approve=False)


async def _decide(
    api: Services,
    caller: Caller,
    approval_id: int,
    why: Why,
    key: str,
    response: Response,
    *,
    approve: bool,
) -> Approval:
    decision = act_of(key, caller, why.reason)

    def have_done(engine: GuardedEngine) -> Answer:
        answer = orders.decide(engine, decision, approval_id=approval_id, approve=approve)
        if answer is None:
            raise Problem(404, "not-found", gettext("There is no approval {id}.", id=str(approval_id)))
        api.tell_soon()
        return answer

    answer = await api.database.move(have_done, name="api.approval.decide")
    if answer.replayed:
        response.headers[REPLAYED] = "true"
    found = answer.approval
    if found.refusal is not None:
        raise rejected(found.refusal)
    return Approval.of(found)
