"""Credits and debits that wait for an owner: who is asked, and what their buttons do. Each press is done once, and is a
decision by the id of its job.
"""

from __future__ import annotations

import time

from ballast.apps.registered import Outcome
from ballast.asking import Ask
from ballast.builtin.approvals import (
    ApproveAdjustment,
    AskApproval,
    AskDeclineAdjustment,
    AskOwner,
    DeclineAdjustment,
    TellOfApproval,
)
from ballast.context import JobContext
from ballast.operators.permissions import Permission, operators_who_may
from ballast.people import approval_texts as texts
from ballast.people import chat_texts, orders
from ballast.replies import Button, Reply
from dbcore.ledger.pending_adjustments import Limits
from dbcore.ledger.users import UserRef
from dbcore.outcomes import Party
from dbcore.people import approvals, card
from dbcore.people.acts import Act
from dbcore.people.approvals import WAITING_MAX, Answer, Approval, ApprovalRefused, ApprovalStatus


def ask_for(ctx: JobContext, job: AskApproval) -> Outcome:
    """What is within the limits by now is done at once: the press was for it."""
    asker = ctx.user.telegram_id
    try:
        done = orders.adjust_within(
            ctx._engine,
            Act(ctx.job_id, f"telegram:{asker}", job.reason, time.time()),
            operator_id=asker,
            target_id=job.person,
            amount=job.amount,
            limits=Limits.of(ctx.settings, ctx.settings.role_of(asker)),
            currency=job.currency,
        )
    except ApprovalRefused:
        return Reply(texts.too_many(WAITING_MAX))
    ctx._announce()
    if isinstance(done, Answer):
        text = texts.state(_shown(ctx, done.approval), ctx.settings)
    else:
        text = texts.done_at_once(done, ctx.settings)
    return Reply(text, html=True, edit=True)


def tell(ctx: JobContext, job: TellOfApproval) -> Outcome:
    found = approvals.find(ctx._engine, job.approval)
    if found is None:
        return None
    if job.is_decided:
        with ctx.speaking_to(found.operator_id):
            text = texts.decided(_shown(ctx, found), job.why, ctx.settings)
            return Reply(text, html=True, to=found.operator_id)
    if found.status is not ApprovalStatus.WAITING:
        return None  # somebody was quicker
    owners = operators_who_may(ctx.settings, Permission.APPROVE)
    return [AskOwner(telegram_id=each, approval=found.id) for each in owners if each != found.operator_id]


def ask(ctx: JobContext, job: AskOwner) -> Outcome:
    found = approvals.find(ctx._engine, job.approval)
    if found is None or found.status is not ApprovalStatus.WAITING:
        return None
    with ctx.speaking_to(job.telegram_id):
        about = {"telegram_id": job.telegram_id, "approval": found.id}
        row = [
            Button(texts.approve(), ApproveAdjustment(**about)),
            Button(texts.decline(), AskDeclineAdjustment(**about)),
        ]
        text = texts.question(_shown(ctx, found), _balance(ctx, found), ctx.settings)
        return Reply(text, html=True, to=job.telegram_id, buttons=[row])


def approve(ctx: JobContext, job: ApproveAdjustment) -> Outcome:
    return _decided(ctx, job.approval, "", approve=True)


def ask_decline(ctx: JobContext, job: AskDeclineAdjustment) -> Outcome:
    return Ask(chat_texts.why(), DeclineAdjustment, given={"approval": job.approval})


def decline(ctx: JobContext, job: DeclineAdjustment) -> Outcome:
    return _decided(ctx, job.approval, job.why, approve=False)


def _decided(ctx: JobContext, number: int, why: str, *, approve: bool) -> Outcome:
    decision = Act(ctx.job_id, f"telegram:{ctx.user.telegram_id}", why, time.time())
    refused = ""
    try:
        orders.decide(ctx._engine, decision, approval_id=number, approve=approve)
        ctx._announce()
    except ApprovalRefused:
        refused = texts.not_decided()
    found = approvals.find(ctx._engine, number)
    assert found is not None  # noqa: S101  approvals are never removed
    if refused and found.status is ApprovalStatus.WAITING:
        return Reply(texts.is_your_own())
    text = texts.state(_shown(ctx, found), ctx.settings)
    return Reply(f"{text}\n{refused}" if refused else text, html=True, edit=True)


def _shown(ctx: JobContext, found: Approval) -> texts.Shown:
    decided_by = found.decided_by or ""
    kind, _, number = decided_by.partition(":")
    by = _party(ctx, int(number)) if kind == "telegram" and number.isdecimal() else decided_by
    return texts.Shown(found, _party(ctx, found.operator_id), _party(ctx, found.telegram_id), by)


def _party(ctx: JobContext, telegram_id: int) -> Party:
    person = card.find(ctx._engine, UserRef(telegram_id=telegram_id))
    return (
        Party(telegram_id, None, "")
        if person is None
        else Party(telegram_id, person.username, person.first_name)
    )


def _balance(ctx: JobContext, found: Approval) -> int | None:
    person = card.find(ctx._engine, UserRef(telegram_id=found.telegram_id))
    return None if person is None else person.balance_in(found.currency).balance
