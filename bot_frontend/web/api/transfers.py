"""`/api/v1/transfers`: what the ledger moved, and refused to move."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from ballast.operators.permissions import Permission
from ballast.people import orders
from ballast.texts import gettext, said
from bot_frontend.web.api.callers import Caller, Requires
from bot_frontend.web.api.models import (
    OF_ACTS,
    Amount,
    Minor,
    Moment,
    Page,
    Person,
    Reason,
    Time,
    error_responses,
)
from bot_frontend.web.api.orders import act_of, idempotency_key, outcome_of
from bot_frontend.web.api.paging import LIMIT, Cursor, Limit, cursor_of, place_of
from bot_frontend.web.api.problems import Problem
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from dbcore.expectations import shaped
from dbcore.guard.engine import GuardedEngine
from dbcore.outcomes import ReversalOutcome
from dbcore.people import lists
from dbcore.people.lists import ListedTransfer, TransferFilters
from dbcore.people.reasons import in_words

router = router_of("/transfers", tag="transfers")

Number = Annotated[int, Path(ge=1, lt=2**63)]


class Transfer(BaseModel):
    """A transfer, applied or rejected. Amounts are minor units of its currency."""

    id: int
    idempotency_key: str
    kind: str
    status: Literal["applied", "rejected"]
    reason: str | None = Field(description="Why it was rejected; null if it was applied")
    why: str | None = Field(description="The reason in words")
    amount: int
    currency: str
    sender: Person | None = Field(description="null: an account of the bot's own, or somebody unknown")
    recipient: Person | None = Field(description="null: an account of the bot's own, or somebody unknown")
    memo: str
    actor: str
    reverses: int | None = Field(description="The transfer that it reverses")
    created_at: Moment

    @classmethod
    def of(cls, found: ListedTransfer) -> Transfer:
        fields = {name: getattr(found, name) for name in cls.model_fields.keys() - {"why"}}
        why = None if found.reason is None else said(in_words(found.reason))
        return cls(
            **{
                **fields,
                "why": why,
                "sender": Person.of(found.sender),
                "recipient": Person.of(found.recipient),
            }
        )


class OneTransfer(Transfer):
    """A transfer, and what of it was not reversed yet."""

    left_to_reverse: int


class ReversalOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    amount: Amount
    reason: Reason = Field(description="Why; it is the reversal's memo")


class Reversal(BaseModel):
    """A transfer back, from who received the money to who sent it."""

    transfer_id: int
    reverses: int
    amount: int
    currency: str
    left_to_reverse: int
    payer: Person | None
    payer_balance: int | None
    payee: Person | None
    payee_balance: int | None


def transfer_filters(
    kind: Annotated[
        str | None,
        Query(pattern=shaped(r"^[a-z_]{1,32}$", "a kind of transfers, such as transfer or reversal")),
    ] = None,
    status: Literal["applied", "rejected"] | None = None,
    amount_min: Minor = None,
    amount_max: Minor = None,
    since: Time | None = None,
    until: Time | None = None,
) -> TransferFilters:
    """A dependency."""
    return TransferFilters(kind, status, amount_min, amount_max, since, until)


@router.get("", summary="List transfers", responses=error_responses())
async def list_transfers(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_TRANSFERS))],
    api: Annotated[Services, Depends(services)],
    filters: Annotated[TransferFilters, Depends(transfer_filters)],
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[Transfer]:
    """Somebody's alone are at `/users/{telegram_id}/movements`."""
    before = place_of(cursor)
    found = await api.database.run(
        lambda engine: lists.transfers(engine, before=before, limit=limit, filters=filters),
        name="api.transfers",
    )
    return Page(
        items=[Transfer.of(each) for each in found.items],
        next_cursor=cursor_of(found.next_before),
    )


@router.get("/{transfer_id}", summary="Look at a transfer", responses=error_responses(404))
async def look_at_transfer(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_TRANSFERS))],
    api: Annotated[Services, Depends(services)],
    transfer_id: Number,
) -> OneTransfer:
    def read(engine: GuardedEngine) -> OneTransfer:
        found, left = lists.transfer(engine, transfer_id), lists.left_to_reverse(engine, transfer_id)
        if found is None or left is None:
            raise _unknown(transfer_id)
        reversible = found.status == "applied" and found.reverses is None
        return OneTransfer(**dict(Transfer.of(found)), left_to_reverse=left if reversible else 0)

    return await api.database.run(read, name="api.transfer")


@router.post(
    "/{transfer_id}/reverse",
    summary="Reverse a transfer, or a part of it",
    responses=error_responses(*OF_ACTS),
)
async def reverse_transfer(
    caller: Annotated[Caller, Depends(Requires(Permission.REVERSE))],
    api: Annotated[Services, Depends(services)],
    transfer_id: Number,
    order: ReversalOrder,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> Reversal:
    """At most what was not reversed yet, and what its recipient has."""

    def act(engine: GuardedEngine) -> ReversalOutcome:
        if lists.transfer(engine, transfer_id) is None:
            raise _unknown(transfer_id)
        outcome = orders.reverse(
            engine, act_of(key, caller, order.reason), transfer_id=transfer_id, amount=order.amount
        )
        api.tell_soon()
        return outcome

    done = await api.database.move(act, name="api.transfer.reverse")
    outcome_of(done, response)
    assert done.transfer_id is not None  # noqa: S101  of one that was not refused
    return Reversal(
        transfer_id=done.transfer_id,
        reverses=transfer_id,
        amount=done.amount,
        currency=done.currency,
        left_to_reverse=done.left or 0,
        payer=Person.of(done.payer),
        payer_balance=done.payer_balance,
        payee=Person.of(done.payee),
        payee_balance=done.payee_balance,
    )


def _unknown(transfer_id: int) -> Problem:
    return Problem(404, "not-found", gettext("There is no transfer {number}.", number=str(transfer_id)))
