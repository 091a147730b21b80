"""Telegram asked to cancel the renewal of a subscription, or to allow it again.

want ─▶ editUserStarSubscription ─▶ yes, or so before: it is so        (star_subscriptions.answer)
                 │            └──▶ no: nothing has changed, and why
                 └──▶ no good answer: asked again, however often; asking twice is as once
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from telegram.error import BadRequest, Forbidden, TelegramError

from ballast.builtin.subscriptions import ChangeRenewal
from ballast.snooze import Snoozed
from ballast.telegram.calls import call
from ballast.telegram.errors import classify
from dbcore.admin_actions import AdminAction
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import star_subscriptions
from dbcore.ledger.star_subscriptions import Subscription, Wanted
from dbcore.outcomes import Outcome
from dbcore.people.acts import Act

if TYPE_CHECKING:
    from telegram import Bot

log = structlog.get_logger(__name__)

ASK_AGAIN_SECONDS_MIN = 2.0

_ACTIONS = {"cancelled": "subscription.cancel", "allowed": "subscription.allow"}
"""As the audit log has them."""


def have_changed(engine: GuardedEngine, act: Act, *, number: int, wanted: Wanted) -> Outcome:
    """An operator wants it, once for the act's id: Telegram is asked from then on."""
    action = AdminAction(act.act_id, act.actor, _ACTIONS[wanted], str(number), act.at, act.reason)
    asks = ChangeRenewal(number=number)
    return star_subscriptions.want(engine, by=action, number=number, wanted=wanted, asks=asks)


async def ask(bot: Bot, found: Subscription, charges: Sequence[str]) -> str | None:
    """None if it is as wanted; else why Telegram refuses. Raises Snoozed if nobody can know.

    charges -- of its payments, the newest first. Telegram does not say which of them names a subscription: should it
    not know the newest one, the first one is tried.
    """
    refusal = "no payment of it is known"
    for charge_id in dict.fromkeys([*charges[:1], *charges[-1:]]):
        try:
            await call(
                bot,
                "editUserStarSubscription",
                {
                    "user_id": found.owner.telegram_id,
                    "telegram_payment_charge_id": charge_id,
                    "is_canceled": found.wanted == "cancelled",
                },
            )
        except (BadRequest, Forbidden) as error:
            refusal = str(error)
            if "NOT_MODIFIED" in refusal.upper():
                return None
            if "CHARGE" not in refusal.upper():
                return refusal
        except TelegramError as error:
            verdict = classify(error)
            log.warning("renewal_unanswered", number=found.number, error=type(error).__name__)
            raise Snoozed(max(ASK_AGAIN_SECONDS_MIN, verdict.retry_after_seconds)) from error
        else:
            return None
    return refusal
