"""Invoices of subscriptions: what stands in their payload, which Telegram gives back with the question before the first
payment, with each payment, and with each change of the renewal.

    s1:<plan>:<Stars>:<nonce>:<signature>

The nonce makes each link an invoice of its own: with its payer it is one subscription, for Telegram as for the ledger.
"""

from __future__ import annotations

import re
import secrets

from ballast.builtin.star_invoices import is_signed, signature
from dbcore.ledger.star_subscriptions import PlanInvoice
from dbcore.settings import Settings
from dbcore.subscription_plans import NAME, SubscriptionPlan

_PAYLOAD = re.compile(
    rf"(?P<said>s1:(?P<plan>{NAME.pattern}):(?P<stars>[1-9]\d{{0,4}}):[\w-]{{8}}):(?P<signature>[\w-]{{22}})",
    re.ASCII,
)


def write(plan: SubscriptionPlan, settings: Settings) -> str:
    """The payload of a new invoice, of at most 128 bytes."""
    said = f"s1:{plan.name}:{plan.stars}:{secrets.token_urlsafe(6)}"
    return f"{said}:{signature(said, settings)}"


def said_in(payload: str) -> PlanInvoice | None:
    """What an invoice said that this bot wrote, perhaps with another token; None if it is no such payload. Only a bot's
    own program says what stands in its invoices.
    """
    found = _PAYLOAD.fullmatch(payload)
    return None if found is None else PlanInvoice(found["plan"], int(found["stars"]), payload)


def on_offer(payload: str, settings: Settings) -> SubscriptionPlan | None:
    """The plan that can be subscribed to by this invoice; None if this bot did not write it, or does not offer the plan
    at that price any more.
    """
    found, said = _PAYLOAD.fullmatch(payload), said_in(payload)
    if found is None or said is None or not is_signed(found["said"], found["signature"], settings):
        return None
    plan = settings.subscription_plan(said.plan)
    return plan if plan is not None and plan.stars == said.stars else None
