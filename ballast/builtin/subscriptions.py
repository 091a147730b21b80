"""Subscriptions by Telegram Stars: /subscribe shows the plans and makes a link, /subscription shows what somebody has.

What the commands and buttons lead to are jobs as an app's are; ballast/subscriptions/chat.py does them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from ballast.builtin.app import BuiltInApp
from ballast.builtin.jobs import TelegramId, UserJob
from ballast.context import Database
from ballast.jobs import Job
from ballast.texts import gettext_noop
from dbcore.ledger.star_subscriptions import Change, ChangeKind, Wanted
from dbcore.subscription_plans import NAME

SWEEP_SECONDS = 60.0
"""How often it is looked what has expired, and what Telegram has not answered."""

PlanName = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]


class ShowPlans(UserJob):
    """/subscribe: the plans, and what of them the person has."""

    kind = "transactions.show_plans"


class MakeSubscriptionLink(Job):
    """A press on a plan."""

    kind = "transactions.make_subscription_link"
    telegram_id: int = TelegramId
    plan: PlanName


class ShowSubscriptions(UserJob):
    """/subscription: how the person's own stand."""

    kind = "transactions.show_subscriptions"


class ShowSubscriptionsOf(Job):
    """An operator looks at somebody's: person."""

    kind = "transactions.show_subscriptions_of"
    telegram_id: int = TelegramId
    person: int = TelegramId


class _AboutRenewal(Job):
    """telegram_id -- who asks. number -- of the subscription. by_operator -- it may be somebody else's."""

    telegram_id: int = TelegramId
    number: int
    wanted: Wanted
    by_operator: bool = False


class AskAboutRenewal(_AboutRenewal):
    """A press on the button that cancels the renewal, or allows it again: put it before whoever pressed."""

    kind = "transactions.ask_about_renewal"


class DecideRenewal(_AboutRenewal):
    """A press on Confirm, or on Cancel."""

    kind = "transactions.decide_renewal"
    confirm: bool


class ChangeRenewal(Job):
    """Ask Telegram what is wanted of a subscription, and keep its answer. Any number of them are harmless."""

    kind = "transactions.change_renewal"
    number: int


class RecordRenewal(UserJob):
    """Telegram says that this user cancelled a subscription's renewal, turned it on again, or could not pay for it.

    payload -- of the subscription's invoice. said_at -- when it came, seconds since 1970.
    """

    kind = "transactions.record_renewal"
    payload: str = Field(min_length=1, max_length=512)
    renewal: Literal["on", "cancelled", "failed"]
    said_at: int = Field(ge=0)


class SubscriptionChanged(Job):
    """Something is new with a subscription, and this is part of its commit. Ballast tells the person what they do not
    know yet; an app's function in its place can do more (`@app.job(SubscriptionChanged, replace=True)`).

    number -- the subscription's. change -- begun, renewed, cancelled, resumed, failed, refunded, expired, or what
    Telegram answered: allowed, refused. expires_at -- until when it is paid, seconds since 1970; None if no payment of
    it is known yet. change_id -- grows with each change of a person's.
    """

    kind = "transactions.subscription_changed"
    telegram_id: int = TelegramId
    number: int
    plan: str
    change: ChangeKind
    change_id: int
    expires_at: float | None


def follows(change: Change) -> Sequence[Job]:
    """What is part of a change's commit."""
    told = SubscriptionChanged(
        telegram_id=change.telegram_id,
        number=change.number,
        plan=change.plan,
        change=change.kind,
        change_id=change.id,
        expires_at=None if change.expires_at is None else change.expires_at.timestamp(),
    )
    # Whoever got their last period back is not to be charged for the next one.
    return [told, ChangeRenewal(number=change.number)] if change.kind is ChangeKind.REFUNDED else [told]


subscriptions = BuiltInApp("transactions", tasks=["workers.tasks.subscriptions"])

_TELEGRAM_DECIDES = "it keeps asking Telegram until the renewal is as somebody wants it"

subscriptions.built_in_job(
    RecordRenewal, database="write", needed="Telegram says only once what became of a renewal"
)
subscriptions.built_in_job(SubscriptionChanged, database="read")
subscriptions.built_in_job(ChangeRenewal, database="write", asked_by=None, internal=_TELEGRAM_DECIDES)

_JOBS: tuple[tuple[type[Job], Database, str], ...] = (
    (ShowPlans, "read", "show_plans"),
    (MakeSubscriptionLink, "read", "subscribe"),
    (ShowSubscriptions, "read", "show"),
    (ShowSubscriptionsOf, "read", "show_of"),
    (AskAboutRenewal, "read", "ask"),
    (DecideRenewal, "write", "decide"),
)

for _job_type, _database, _function in _JOBS:
    subscriptions.chat_job(_job_type, database=_database, by=f"ballast.subscriptions.chat:{_function}")

subscriptions.built_in_command(
    "subscribe",
    ShowPlans,
    help=gettext_noop("Subscribe with Telegram Stars"),
    is_linked=True,
    leaves_dialogue=True,
)
subscriptions.built_in_command(
    "subscription",
    ShowSubscriptions,
    help=gettext_noop("Your subscription, and its renewal"),
    is_linked=True,
)
subscriptions.schedule(
    "subscription-sweep",
    "workers.subscriptions.sweep",
    lambda *_: SWEEP_SECONDS,
    queue="health",
    expires_before=10,
    needed_by=[ChangeRenewal],
    internal=_TELEGRAM_DECIDES,
)
