"""/subscribe and /subscription, and their buttons. Each is a job, and a press is done once."""

from __future__ import annotations

import time

from ballast.apps.registered import Outcome
from ballast.builtin.subscriptions import (
    AskAboutRenewal,
    ChangeRenewal,
    DecideRenewal,
    MakeSubscriptionLink,
    ShowPlans,
    ShowSubscriptions,
    ShowSubscriptionsOf,
)
from ballast.builtin.words import cancel, confirm, not_permitted
from ballast.context import JobContext
from ballast.operators.permissions import Permission, may
from ballast.replies import Button, Reply
from ballast.subscriptions import changing, offering
from ballast.subscriptions import chat_texts as texts
from ballast.texts import said
from dbcore.ledger import star_subscriptions
from dbcore.ledger.star_subscriptions import Renewal, Subscriber, Subscription, Wanted
from dbcore.outcomes import RejectionReason
from dbcore.people.acts import Act
from dbcore.people.reasons import in_words

SHOWN_MAX = 8


def show_plans(ctx: JobContext, job: ShowPlans) -> Outcome:
    person, settings = job.telegram_id, ctx.settings
    has = {each.plan: each for each in _of(ctx, person) if each.is_paid}
    rows = [
        [Button(texts.plan_button(plan), MakeSubscriptionLink(telegram_id=person, plan=plan.name))]
        for plan in settings.subscription_plans
        if plan.name not in has
    ]
    return Reply(texts.plans(settings.subscription_plans, has), html=True, buttons=rows)


def subscribe(ctx: JobContext, job: MakeSubscriptionLink) -> Outcome:
    settings = ctx.settings
    plan = offering.plan_named(job.plan, settings)
    has = next((each for each in _of(ctx, job.telegram_id) if each.is_paid and each.plan == job.plan), None)
    if has is not None:
        return Reply(texts.standing(has, settings), html=True)
    address = offering.link_to(job.plan, settings)
    assert plan is not None  # noqa: S101  else it is refused
    return Reply(texts.link(plan, address), html=True)


def show(ctx: JobContext, job: ShowSubscriptions) -> Outcome:
    return _shown(ctx, job.telegram_id)


def show_of(ctx: JobContext, job: ShowSubscriptionsOf) -> Outcome:
    role = ctx.settings.role_of(ctx.user.telegram_id)
    if not may(role, Permission.SEE_PEOPLE):
        return Reply(not_permitted())
    return _shown(ctx, job.person, operator=ctx.user.telegram_id)


def ask(ctx: JobContext, job: AskAboutRenewal) -> Outcome:
    found = star_subscriptions.find(ctx._engine, job.number)
    if found is None or not _may_change(ctx, found, job):
        return Reply(said(in_words(RejectionReason.UNKNOWN_SUBSCRIPTION)))
    about = job.model_dump()
    row = [
        Button(confirm(), DecideRenewal(**about, confirm=True)),
        Button(cancel(), DecideRenewal(**about, confirm=False)),
    ]
    text = texts.question(found, job.wanted, ctx.settings, by_operator=job.by_operator)
    return Reply(text, html=True, buttons=[row])


def decide(ctx: JobContext, job: DecideRenewal) -> Outcome:
    if not job.confirm:
        return Reply(texts.nothing_changed(), edit=True)
    found = star_subscriptions.find(ctx._engine, job.number)
    if found is None or not _may_change(ctx, found, job):
        return Reply(said(in_words(RejectionReason.UNKNOWN_SUBSCRIPTION)), edit=True)
    if job.by_operator:
        act = Act(ctx.job_id, f"telegram:{ctx.user.telegram_id}", "", time.time())
        outcome = changing.have_changed(ctx._engine, act, number=job.number, wanted=job.wanted)
    else:
        outcome = star_subscriptions.want(
            ctx._engine,
            by=Subscriber(ctx.job_id, ctx.user.telegram_id),
            number=job.number,
            wanted=job.wanted,
            asks=ChangeRenewal(number=job.number),
        )
    ctx._announce()
    if outcome.reason is not None:
        return Reply(said(in_words(outcome.reason)), edit=True)
    return Reply(texts.asking_telegram(), edit=True)


def _shown(ctx: JobContext, person: int, *, operator: int | None = None) -> Outcome:
    """operator -- who looks at somebody else's, and may press the buttons."""
    found = _of(ctx, person)[:SHOWN_MAX]
    if not found:
        return Reply(texts.none_yet(), html=True)
    may_press = operator is None or may(ctx.settings.role_of(operator), Permission.REFUND)
    return [
        Reply(
            texts.standing(each, ctx.settings, by_operator=operator is not None),
            html=True,
            buttons=_buttons(each, person if operator is None else operator, operator is not None)
            if may_press
            else [],
        )
        for each in found
    ]


def _buttons(found: Subscription, presser: int, by_operator: bool) -> list[list[Button]]:
    """What can be done about it."""
    wanted: Wanted = "cancelled" if found.renewal is Renewal.ON else "allowed"
    if not found.is_paid or found.wanted is not None or (wanted == "allowed" and not found.cancelled_by_bot):
        return []
    label = texts.cancel_renewal() if wanted == "cancelled" else texts.allow_renewal()
    press = AskAboutRenewal(telegram_id=presser, number=found.number, wanted=wanted, by_operator=by_operator)
    return [[Button(label, press)]]


def _of(ctx: JobContext, person: int) -> list[Subscription]:
    return star_subscriptions.listed(ctx._engine, telegram_id=person)


def _may_change(ctx: JobContext, found: Subscription, job: AskAboutRenewal | DecideRenewal) -> bool:
    if job.by_operator:
        return may(ctx.settings.role_of(ctx.user.telegram_id), Permission.REFUND)
    return found.owner.telegram_id == ctx.user.telegram_id
