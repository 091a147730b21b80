"""Whether a plan can be subscribed to, and a link by which anybody can."""

from __future__ import annotations

import asyncio

from ballast.builtin import star_invoices
from ballast.subscriptions import chat_texts as texts
from ballast.subscriptions import invoices
from ballast.telegram.subscriptions import NoLink, make_link
from dbcore.guard.refusal import Refuse
from dbcore.settings import Settings
from dbcore.subscription_plans import SubscriptionPlan


def plan_named(name: str, settings: Settings) -> SubscriptionPlan | None:
    """None if it is not on offer: there is no such plan, or the bot takes no payments."""
    if not star_invoices.are_on(settings):
        return None
    return settings.subscription_plan(name)


def link_to(name: str, settings: Settings) -> str:
    """A new link. Raises Refuse, in words for people, if there is none. A coroutine calls it in a thread."""
    plan = plan_named(name, settings)
    if plan is None:
        raise Refuse(texts.not_on_offer())
    try:
        return asyncio.run(make_link(plan, texts.description(plan), invoices.write(plan, settings), settings))
    except NoLink as error:
        raise Refuse(texts.try_again()) from error
