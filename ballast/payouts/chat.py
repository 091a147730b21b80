"""/withdraw and /withdrawals, and their buttons. Each is a job, and a press is done once."""

from __future__ import annotations

import time

from ballast.apps.registered import Outcome
from ballast.asking import Ask
from ballast.builtin.withdrawals import (
    Approve,
    AskDecline,
    AskDestination,
    AskReference,
    AskWithdrawal,
    DecideWithdrawal,
    Decline,
    MarkPaid,
    ShowToOperator,
    ShowWithdrawals,
    StartWithdrawal,
    TakeBack,
    TellOfWithdrawal,
    TurnPayouts,
    notices,
)
from ballast.builtin.words import cancel, confirm
from ballast.context import JobContext
from ballast.operators.permissions import Permission, may, operators_who_may
from ballast.payouts import chat_texts as texts
from ballast.payouts import installed, words
from ballast.payouts.adapter import PayoutAdapter
from ballast.payouts.manual import NAME
from ballast.replies import Button, Reply
from ballast.texts import said
from dbcore.ledger import withdrawals
from dbcore.ledger.withdrawals import Payout, Withdrawal, WithdrawalState, Word
from dbcore.money import AmountError, parse_amount_and_note
from dbcore.outcomes import RejectionReason
from dbcore.people.acts import Act
from dbcore.sentences import Refusal

SHOWN_MAX = 8


def start(ctx: JobContext, job: StartWithdrawal) -> Outcome:
    settings = ctx.settings
    by = installed.adapter(settings)
    if by is None:
        return Reply(texts.is_off())
    if not job.text:
        return Ask(texts.how_much(), AskDestination)
    try:
        amount, destination = parse_amount_and_note(job.text, settings.currency_exponent, settings.currency)
    except AmountError as error:
        return Reply(f"{said(error)} {texts.usage()}", html=True)
    if not destination and by.asks_destination:
        return Ask(texts.where_to(), AskWithdrawal, given={"amount": amount})
    return _asked(ctx, by, amount, destination)


def ask_destination(ctx: JobContext, job: AskDestination) -> Outcome:
    by = installed.adapter(ctx.settings)
    if by is None:
        return Reply(texts.is_off())
    if by.asks_destination:
        return Ask(texts.where_to(), AskWithdrawal, given={"amount": job.amount})
    return _asked(ctx, by, job.amount, "")


def ask(ctx: JobContext, job: AskWithdrawal) -> Outcome:
    by = installed.adapter(ctx.settings)
    return Reply(texts.is_off()) if by is None else _put(ctx, by, job)


def _asked(ctx: JobContext, by: PayoutAdapter, amount: int, destination: str) -> Outcome:
    """The job that writes: this one does not."""
    return AskWithdrawal(telegram_id=ctx.user.telegram_id, amount=amount, destination=destination or by.title)


def _put(ctx: JobContext, by: PayoutAdapter, job: AskWithdrawal) -> Outcome:
    settings, owner = ctx.settings, ctx.user.telegram_id
    try:
        destination = by.read_destination(job.destination, owner)
    except Refusal as error:
        return Reply(said(error), html=True)
    payout = Payout(by.name, destination, installed.pays(job.amount, by, settings), by.currency)
    if payout.pays <= 0:
        return Reply(texts.too_little(by), html=True)
    limits = installed.limits(settings)
    outcome = withdrawals.create(
        ctx._engine, key=ctx.job_id, telegram_id=owner, amount=job.amount, payout=payout, limits=limits
    )
    if outcome.reason is not None:
        return Reply(texts.refused(outcome, settings), html=True)
    row = [
        Button(confirm(), DecideWithdrawal(telegram_id=owner, token=outcome.token, confirm=True)),
        Button(cancel(), DecideWithdrawal(telegram_id=owner, token=outcome.token, confirm=False)),
    ]
    return Reply(texts.question(job.amount, outcome.payout or payout, by, settings), html=True, buttons=[row])


def decide(ctx: JobContext, job: DecideWithdrawal) -> Outcome:
    outcome = withdrawals.decide(
        ctx._engine,
        key=ctx.job_id,
        token=job.token,
        telegram_id=ctx.user.telegram_id,
        confirm=job.confirm,
        limits=installed.limits(ctx.settings),
        notice=lambda state: notices(job.token, state),
        waited_seconds=ctx._waited_seconds,
    )
    ctx._announce()
    _note_balance(ctx, ctx.user.telegram_id)
    if outcome.reason is not None:
        return Reply(texts.refused(outcome, ctx.settings), html=True, edit=True)
    if outcome.state is WithdrawalState.CANCELLED:
        return Reply(texts.cancelled(), edit=True)
    found = withdrawals.find(ctx._engine, token=job.token)
    assert found is not None  # noqa: S101  it was confirmed
    return Reply(texts.taken(found, ctx.settings), html=True, edit=True, buttons=_take_back(found))


def tell(ctx: JobContext, job: TellOfWithdrawal) -> Outcome:
    """Its user of the end, and operators of what waits for them."""
    found = withdrawals.find(ctx._engine, token=job.token)
    assert found is not None  # noqa: S101  committed with this job
    owner = found.owner.telegram_id
    _note_balance(ctx, owner)
    if job.state in {WithdrawalState.PAID, WithdrawalState.RETURNED}:
        with ctx.speaking_to(owner):
            return Reply(texts.ended(found, ctx.settings), html=True, to=owner)
    operators = operators_who_may(ctx.settings, Permission.SETTLE_HOLDS)
    return [ShowToOperator(telegram_id=each, token=job.token) for each in operators]


def show_to_operator(ctx: JobContext, job: ShowToOperator) -> Outcome:
    found = withdrawals.find(ctx._engine, token=job.token)
    assert found is not None  # noqa: S101  as above
    with ctx.speaking_to(job.telegram_id):
        return _card(ctx, found, job.telegram_id, to=job.telegram_id)


def show(ctx: JobContext, job: ShowWithdrawals) -> Outcome:
    if may(ctx.settings.role_of(ctx.user.telegram_id), Permission.SETTLE_HOLDS):
        return _listed(ctx, edit=False)
    owner = ctx.user.telegram_id
    found = withdrawals.listed(ctx._engine, only_open=False, telegram_id=owner, limit=SHOWN_MAX)
    if not found:
        return Reply(texts.none_of_yours())
    return [_own_card(ctx, each, to=owner) for each in found]


def take_back(ctx: JobContext, job: TakeBack) -> Outcome:
    outcome = withdrawals.take_back(
        ctx._engine,
        key=ctx.job_id,
        token=job.token,
        telegram_id=ctx.user.telegram_id,
        notice=lambda state: notices(job.token, state),
    )
    ctx._announce()
    _note_balance(ctx, ctx.user.telegram_id)
    found = withdrawals.find(ctx._engine, token=job.token)
    if found is None or outcome.reason is RejectionReason.UNKNOWN_WITHDRAWAL:
        return Reply(texts.refused(outcome, ctx.settings), html=True)
    return _own_card(ctx, found, reason=outcome.reason)


def approve(ctx: JobContext, job: Approve) -> Outcome:
    return _said(ctx, job.number, "approve", "")


def ask_decline(ctx: JobContext, job: AskDecline) -> Outcome:
    return Ask(texts.why_as_they_read_it(), Decline, given={"number": job.number})


def decline(ctx: JobContext, job: Decline) -> Outcome:
    found = withdrawals.find(ctx._engine, job.number)
    is_manual = found is not None and found.payout.adapter == NAME
    word: Word = (
        "unpaid" if found is not None and is_manual and found.state is WithdrawalState.PAYING else "decline"
    )
    return _said(ctx, job.number, word, job.why)


def ask_reference(ctx: JobContext, job: AskReference) -> Outcome:
    return Ask(texts.which_reference(), MarkPaid, given={"number": job.number})


def mark_paid(ctx: JobContext, job: MarkPaid) -> Outcome:
    return _said(ctx, job.number, "paid", job.reference)


def turn(ctx: JobContext, job: TurnPayouts) -> Outcome:
    words.turn(ctx._engine, _act(ctx, ""), is_stopped=job.stop)
    return _listed(ctx, edit=True)


def _said(ctx: JobContext, number: int, word: Word, text: str) -> Outcome:
    outcome = words.say(ctx._engine, _act(ctx, text), number=number, word=word)
    ctx._announce()
    found = withdrawals.find(ctx._engine, number)
    if found is None:
        return Reply(texts.refused(outcome, ctx.settings), html=True)
    return _card(ctx, found, ctx.user.telegram_id, reason=outcome.reason)


def _note_balance(ctx: JobContext, telegram_id: int) -> None:
    """What is reserved of it has changed."""
    seen = withdrawals.balance_of(ctx._engine, telegram_id)
    if seen is not None:
        ctx._note_balance(seen)


def _act(ctx: JobContext, reason: str) -> Act:
    return Act(ctx.job_id, f"telegram:{ctx.user.telegram_id}", reason, time.time())


def _card(
    ctx: JobContext,
    found: Withdrawal,
    operator: int,
    *,
    to: int | None = None,
    reason: RejectionReason | None = None,
) -> Reply:
    """For one operator, with what can be done about it."""
    about = {"telegram_id": operator, "number": found.number}
    offered = []
    if found.state is WithdrawalState.HELD:
        offered = [Button(texts.approve(), Approve(**about)), Button(texts.decline(), AskDecline(**about))]
    elif found.state is WithdrawalState.APPROVED:
        offered = [Button(texts.decline(), AskDecline(**about))]
    elif found.state is WithdrawalState.PAYING and found.payout.adapter == NAME:
        offered = [Button(texts.paid(), AskReference(**about)), Button(texts.decline(), AskDecline(**about))]
    text = texts.card(found, reason, installed.adapter(ctx.settings, found.payout.adapter), ctx.settings)
    return Reply(text, html=True, edit=to is None, to=to, buttons=[offered] if offered else [])


def _own_card(
    ctx: JobContext, found: Withdrawal, *, to: int | None = None, reason: RejectionReason | None = None
) -> Reply:
    """For whoever asked for it."""
    by = installed.adapter(ctx.settings, found.payout.adapter)
    text = texts.own_card(found, reason, by, ctx.settings)
    return Reply(text, html=True, edit=to is None, to=to, buttons=_take_back(found))


def _take_back(found: Withdrawal) -> list[list[Button]]:
    if found.state not in {WithdrawalState.HELD, WithdrawalState.APPROVED}:
        return []
    return [[Button(texts.take_back(), TakeBack(telegram_id=found.owner.telegram_id, token=found.token))]]


def _listed(ctx: JobContext, *, edit: bool) -> Outcome:
    stands = withdrawals.switch(ctx._engine)
    found = withdrawals.listed(ctx._engine, only_open=True, limit=SHOWN_MAX)
    operator = ctx.user.telegram_id
    button = Button(
        texts.go_on() if stands.is_stopped else texts.stop(),
        TurnPayouts(telegram_id=operator, stop=not stands.is_stopped),
    )
    head = Reply(texts.overview(stands, len(found)), html=True, edit=edit, buttons=[[button]])
    if edit:
        return head
    return [head, *(_card(ctx, each, operator, to=operator) for each in found)]
