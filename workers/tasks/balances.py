"""Tasks that show a balance, or change one: by an operator's order at once, by an admin's once it is confirmed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import structlog

from ballast.builtin.approvals import AskApproval
from ballast.builtin.balances import AdjustBalance, AskAdjustment, DecideAdjustment, ShowBalance
from ballast.builtin.words import not_permitted
from ballast.jobs import Discard
from ballast.messages import Button, Message
from ballast.operators.permissions import Permission, may
from ballast.people import approval_texts
from ballast.replies import Button as JobButton
from ballast.texts import speaking
from dbcore import keys
from dbcore.ledger import ledger, pending_adjustments, users
from dbcore.ledger.pending_adjustments import Limits
from dbcore.outcomes import (
    AdjustmentDecisionOutcome,
    Decision,
    OutcomeStatus,
    PendingAdjustmentOutcome,
    RejectionReason,
)
from dbcore.people.reasons import in_words
from workers import adjustment_texts, texts
from workers.job_buttons import keep
from workers.tasks.job_task import job_task
from workers.work import Work

log = structlog.get_logger(__name__)


def show_many(works: Sequence[Work[ShowBalance]]) -> list[list[Message]]:
    accounts = users.get_or_create_many(works[0].engine, profiles=[work.job.profile for work in works])
    return [_shown(work, account) for work, account in zip(works, accounts, strict=True)]


@job_task(ShowBalance, many=show_many)
def show(work: Work[ShowBalance]) -> list[Message]:
    return _shown(work, users.get_or_create(work.engine, profile=work.job.profile))


def _shown(work: Work[ShowBalance], account: users.UserAccount) -> list[Message]:
    work.note_account(account)
    with speaking(work.language, work.time_zone):
        return work.answer(texts.balance(account, work.settings))


@job_task(AdjustBalance)
def adjust(work: Work[AdjustBalance]) -> list[Message]:
    job = work.job
    key, earlier_key = keys.of_job(work.job_id)
    outcome = ledger.adjust(
        work.engine,
        key=key,
        earlier_key=earlier_key,
        target=users.UserRef(telegram_id=job.telegram_id, username=job.username),
        amount=job.amount,
        memo=job.reason,
        actor=job.actor,
        currency=job.currency,
    )
    settings = work.settings.in_currency(outcome.currency)
    if outcome.reason is not None:
        log.warning("adjustment_refused", reason=outcome.reason, actor=job.actor)
    work.note(outcome)
    if outcome.reason is not None and work.origin is None:
        # Whoever called the task looks among failed jobs: there is nobody else who could be told.
        raise Discard(f"refused, {outcome.reason.value}: {in_words(outcome.reason.value)}")
    messages = work.answer(texts.adjusted(outcome, job, settings))
    told = {message.chat_id for message in messages}
    if outcome.target is not None and outcome.reason is None and outcome.target.telegram_id not in told:
        messages.append(
            work.to_other(
                outcome.target.telegram_id,
                lambda: texts.adjusted_for_you(job.amount, outcome.balance_after, job.reason, settings),
            )
        )
    return messages


@job_task(AskAdjustment)
def ask_adjustment(work: Work[AskAdjustment]) -> list[Message]:
    job = work.job
    outcome = pending_adjustments.create(
        work.engine,
        key=work.job_id,
        admin_id=job.admin_id,
        target=users.UserRef(telegram_id=job.telegram_id, username=job.username),
        amount=job.amount,
        memo=job.reason,
        currency=job.currency,
        limits=_limits(work, job.admin_id),
    )
    settings = work.settings.in_currency(outcome.currency)
    _note(work, outcome)
    if outcome.reason is not None:
        log.warning("adjustment_refused", reason=outcome.reason, admin_id=job.admin_id)
        return work.answer(adjustment_texts.refused(outcome, job, settings), _ask_an_owner(work, outcome))
    if outcome.status is OutcomeStatus.REPLAYED and outcome.balance_now is not None:
        # Asked before, by a run whose card never came: it may have expired, and show a balance of then.
        pending_adjustments.show_again(work.engine, key=work.job_id, balance=outcome.balance_now)
        outcome = replace(outcome, balance=outcome.balance_now)
    return work.answer(
        adjustment_texts.to_confirm(outcome, job, settings),
        adjustment_texts.buttons(outcome.token, job.admin_id),
    )


def _ask_an_owner(work: Work[AskAdjustment], outcome: PendingAdjustmentOutcome) -> Sequence[Sequence[Button]]:
    """Under a refusal for a limit."""
    above = {RejectionReason.OVER_LIMIT, RejectionReason.OVER_DAILY_LIMIT}
    if outcome.reason not in above or outcome.target is None:
        return ()
    job = work.job
    asked = AskApproval(
        telegram_id=job.admin_id,
        person=outcome.target.telegram_id,
        amount=job.amount,
        currency=job.currency,
        reason=job.reason,
    )
    button = JobButton(approval_texts.ask_an_owner(), asked)
    return keep(work.worker.redis, work.job_id, [[button]], job.admin_id)


def decide_adjustments(works: Sequence[Work[DecideAdjustment]]) -> list[list[Message]]:
    own = [work for work in works if _may_still(work)]
    outcomes: Iterator[AdjustmentDecisionOutcome] = iter(())
    if own:
        presses = [
            pending_adjustments.Press(
                work.job_id,
                work.job.token,
                work.job.telegram_id,
                work.job.confirm,
                work.waited_seconds,
                _limits(work, work.job.telegram_id),
            )
            for work in own
        ]
        decided = pending_adjustments.decide_many(own[0].engine, presses)
        own[0].languages.look_up(each.target.telegram_id for each in decided if each.target is not None)
        outcomes = iter(decided)
    answers = []
    for work in works:
        with (
            structlog.contextvars.bound_contextvars(job_id=work.job_id),
            speaking(work.language, work.time_zone),
        ):
            answers.append(_decided(work, next(outcomes)) if _may_still(work) else _refused(work))
    return answers


@job_task(DecideAdjustment, many=decide_adjustments)
def decide_adjustment(work: Work[DecideAdjustment]) -> list[Message]:
    job = work.job
    if not _may_still(work):
        return _refused(work)
    outcome = pending_adjustments.decide(
        work.engine,
        key=work.job_id,
        token=job.token,
        presser_id=job.telegram_id,
        confirm=job.confirm,
        limits=_limits(work, job.telegram_id),
        waited_seconds=work.waited_seconds,
    )
    return _decided(work, outcome)


def _limits(work: Work[Any], admin_id: int) -> Limits:
    return Limits.of(work.settings, work.settings.role_of(admin_id))


def _may_still(work: Work[DecideAdjustment]) -> bool:
    return may(work.settings.role_of(work.job.telegram_id), Permission.ADJUST)


def _refused(work: Work[DecideAdjustment]) -> list[Message]:
    return work.toast(not_permitted(), matters=False)


def _decided(work: Work[DecideAdjustment], outcome: AdjustmentDecisionOutcome) -> list[Message]:
    job = work.job
    _note(work, outcome)
    if outcome.reason is not None:
        log.warning("adjustment_refused", reason=outcome.reason, admin_id=job.telegram_id)
    settings = work.settings.in_currency(outcome.currency)
    said = adjustment_texts.decided(outcome, job.telegram_id, settings)
    if not adjustment_texts.closes_the_card(outcome):
        return work.toast(said, matters=outcome.reason is RejectionReason.ALREADY_CANCELLED)
    messages = work.answer(said, edit=True)
    if outcome.decision is Decision.CONFIRMED and outcome.target is not None:
        target_id = outcome.target.telegram_id
        if target_id not in {message.chat_id for message in messages}:
            amount, memo = outcome.amount or 0, outcome.memo or ""
            messages.append(
                work.to_other(
                    target_id,
                    lambda: texts.adjusted_for_you(amount, outcome.balance_after, memo, settings),
                )
            )
    return messages


def _note(work: Work[Any], outcome: PendingAdjustmentOutcome | AdjustmentDecisionOutcome) -> None:
    work.note(outcome)
    if outcome.target is not None and outcome.balance_now is not None and outcome.version is not None:
        work.note_read(outcome.target.telegram_id, outcome.balance_now, outcome.version, outcome.currency)
