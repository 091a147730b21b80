"""`/api/v1/withdrawals` and `/api/v1/payouts`: an operator's word about a withdrawal, and the switch of all payouts."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from ballast.operators.permissions import Permission
from ballast.payouts import words
from ballast.texts import gettext
from bot_frontend.web.api.callers import Caller, Requires
from bot_frontend.web.api.models import OF_ACTS, Moment, Page, Person, Reason, error_responses
from bot_frontend.web.api.orders import ReasonOrder, Why, act_of, idempotency_key, outcome_of
from bot_frontend.web.api.paging import LIMIT, Cursor, Limit, cursor_of, place_of
from bot_frontend.web.api.problems import Problem
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import withdrawals
from dbcore.ledger.withdrawals import Switch, Withdrawal, WithdrawalOutcome, WithdrawalState, Word
from dbcore.outcomes import RejectionReason
from dbcore.people.acts import Act

router = router_of(tag="withdrawals")

Number = Annotated[int, Path(ge=1, lt=2**63)]
Seeing = Annotated[Caller, Depends(Requires(Permission.SEE_TRANSFERS))]
Acting = Annotated[Caller, Depends(Requires(Permission.SETTLE_HOLDS))]
Key = Annotated[str, Depends(idempotency_key)]
Api = Annotated[Services, Depends(services)]


class PayoutOf(BaseModel):
    """What is paid out. `pays` is minor units of `currency`, the adapter's."""

    adapter: str
    destination: str
    pays: int
    currency: str


class AWithdrawal(BaseModel):
    """`amount` is minor units of the bot's currency."""

    number: int
    owner: Person
    amount: int
    payout: PayoutOf
    state: WithdrawalState
    reason: str | None = Field(description="Why it was returned")
    approved_by: str | None = Field(description="Whose word was the last: `rule`, or an operator")
    attempts: int = Field(description="How often the provider was asked to pay")
    reference: str | None
    created_at: Moment
    ended_at: Moment | None

    @classmethod
    def of(cls, found: Withdrawal) -> AWithdrawal:
        fields = {name: getattr(found, name) for name in cls.model_fields}
        payout = {name: getattr(found.payout, name) for name in PayoutOf.model_fields}
        return cls(**{**fields, "owner": Person.of(found.owner), "payout": PayoutOf(**payout)})


class PaidOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reference: Reason = Field(description="Of the payment; the withdrawal's user reads it")


class Payouts(BaseModel):
    is_stopped: bool
    actor: str = Field(description="Who said so last; empty if nobody ever did")
    reason: str
    changed_at: Moment

    @classmethod
    def of(cls, stands: Switch) -> Payouts:
        return cls(**{name: getattr(stands, name) for name in cls.model_fields})


@router.get("/withdrawals", summary="List withdrawals", responses=error_responses())
async def list_withdrawals(
    _: Seeing, api: Api, is_open: bool = False, limit: Limit = LIMIT, cursor: Cursor = None
) -> Page[AWithdrawal]:
    """Those that were confirmed, the newest first. `is_open`: only those that are neither paid nor returned."""
    before = place_of(cursor)
    found = await api.database.run(
        lambda engine: withdrawals.listed(engine, only_open=is_open, before=before, limit=limit + 1),
        name="api.withdrawals",
    )
    page = found[:limit]
    more = page[-1].number if len(found) > limit else None
    return Page(items=[AWithdrawal.of(each) for each in page], next_cursor=cursor_of(more))


@router.get("/withdrawals/{number}", summary="Look at a withdrawal", responses=error_responses(404))
async def look_at_withdrawal(_: Seeing, api: Api, number: Number) -> AWithdrawal:
    return await _look(api, number)


@router.post(
    "/withdrawals/{number}/approve", summary="Approve a withdrawal", responses=error_responses(*OF_ACTS)
)
async def approve_withdrawal(
    caller: Acting, api: Api, number: Number, order: Why, key: Key, response: Response
) -> AWithdrawal:
    """It is paid out, or waits for a person to pay it."""
    return await _say(api, act_of(key, caller, order.reason), number, "approve", response)


@router.post(
    "/withdrawals/{number}/decline", summary="Decline a withdrawal", responses=error_responses(*OF_ACTS)
)
async def decline_withdrawal(
    caller: Acting, api: Api, number: Number, order: ReasonOrder, key: Key, response: Response
) -> AWithdrawal:
    """One that is not being paid: the money is its user's again, and they read the reason."""
    return await _say(api, act_of(key, caller, order.reason), number, "decline", response)


@router.post(
    "/withdrawals/{number}/paid",
    summary="Say that a withdrawal was paid",
    responses=error_responses(*OF_ACTS),
)
async def mark_paid(
    caller: Acting, api: Api, number: Number, order: PaidOrder, key: Key, response: Response
) -> AWithdrawal:
    """By hand, or by a provider that does not tell."""
    return await _say(api, act_of(key, caller, order.reference), number, "paid", response)


@router.post(
    "/withdrawals/{number}/unpaid",
    summary="Say that a withdrawal was not paid",
    responses=error_responses(*OF_ACTS),
)
async def mark_unpaid(
    caller: Acting, api: Api, number: Number, order: ReasonOrder, key: Key, response: Response
) -> AWithdrawal:
    """And will not be: the money is its user's again, and they read the reason. Look at the provider first."""
    return await _say(api, act_of(key, caller, order.reason), number, "unpaid", response)


@router.get("/payouts", summary="Whether payouts are stopped", responses=error_responses())
async def look_at_payouts(_: Seeing, api: Api) -> Payouts:
    return Payouts.of(await api.database.run(withdrawals.switch, name="api.payouts"))


@router.post("/payouts/stop", summary="Stop all payouts", responses=error_responses(*OF_ACTS))
async def stop_payouts(caller: Acting, api: Api, order: Why, key: Key) -> Payouts:
    """No payout begins after the answer. What a provider was asked for already is brought to its end."""
    return await _turn(api, act_of(key, caller, order.reason), is_stopped=True)


@router.post("/payouts/resume", summary="Go on with payouts", responses=error_responses(*OF_ACTS))
async def resume_payouts(caller: Acting, api: Api, order: Why, key: Key) -> Payouts:
    return await _turn(api, act_of(key, caller, order.reason), is_stopped=False)


async def _turn(api: Services, act: Act, *, is_stopped: bool) -> Payouts:
    stands = await api.database.run(
        lambda engine: words.turn(engine, act, is_stopped=is_stopped), name="api.payouts.turn"
    )
    return Payouts.of(stands)


async def _say(api: Services, act: Act, number: int, word: Word, response: Response) -> AWithdrawal:
    def have_done(engine: GuardedEngine) -> WithdrawalOutcome:
        outcome = words.say(engine, act, number=number, word=word)
        api.tell_soon()
        return outcome

    done = await api.database.move(have_done, name="api.withdrawal.say")
    if done.reason is RejectionReason.UNKNOWN_WITHDRAWAL:
        raise _unknown(number)
    outcome_of(done, response)
    return await _look(api, number)


async def _look(api: Services, number: int) -> AWithdrawal:
    found = await api.database.run(lambda engine: withdrawals.find(engine, number), name="api.withdrawal")
    if found is None:
        raise _unknown(number)
    return AWithdrawal.of(found)


def _unknown(number: int) -> Problem:
    return Problem(404, "not-found", gettext("There is no withdrawal {number}.", number=str(number)))
