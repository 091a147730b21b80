"""An operator wants a renewal cancelled, or allowed again.

    have_changed ─▶ ChangeRenewal ─▶ editUserStarSubscription ─▶ yes, or so before: it is so
                                               │            └──▶ no: nothing has changed, and why
                                               └──▶ no good answer: asked again, however often; twice is as once

A subscriber's own wish goes the same way from ChangeRenewal on (chat.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ballast.builtin.subscriptions import ChangeRenewal
from dbcore.admin_actions import AdminAction
from dbcore.ledger import star_subscriptions

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine
    from dbcore.ledger.star_subscriptions import Wanted
    from dbcore.outcomes import Outcome
    from dbcore.people.acts import Act

_ACTIONS = {"cancelled": "subscription.cancel", "allowed": "subscription.allow"}
"""As the audit log has them."""


def have_changed(engine: GuardedEngine, act: Act, *, number: int, wanted: Wanted) -> Outcome:
    """Once for the act's id: Telegram is asked from then on."""
    action = AdminAction(act.act_id, act.actor, _ACTIONS[wanted], str(number), act.at, act.reason)
    asks = ChangeRenewal(number=number)
    return star_subscriptions.want(engine, by=action, number=number, wanted=wanted, asks=asks)
