"""Subscriptions by Stars: the bot's word on them, and what their people do inside Telegram."""

from __future__ import annotations

from typing import Any

from devstack.telegram.errors import ControlError, bad_request
from devstack.telegram.methods.payments import STARS, tell_of_payment
from devstack.telegram.parameters import Parameters
from devstack.telegram.state.messages import StoredMessage
from devstack.telegram.telegram import Telegram

STATES = {"cancel": "canceled", "resume": "active", "fail": "failed"}
"""Of a BotSubscriptionUpdated, by what is done."""


def edit_user_star_subscription(telegram: Telegram, params: Parameters) -> bool:
    """Any charge of a subscription names it."""
    found = telegram.subscriptions.of_charge(params.text("telegram_payment_charge_id"))
    if found is None or found["user_id"] != params.integer("user_id"):
        raise bad_request("CHARGE_ID_INVALID")
    if not found["is_active"]:
        raise bad_request("SUBSCRIPTION_NOT_ACTIVE")
    telegram.subscriptions.turn_by_bot(found["id"], canceled=params.flag("is_canceled"))
    return True


def charge(
    telegram: Telegram, user_id: int, link: str, charge_id: str, *, is_first: bool, is_lost: bool
) -> tuple[StoredMessage, int | None]:
    """Subscribe by a link, or have Telegram renew it: Stars move, and the bot is told."""
    offer, known = telegram.subscriptions.link(link), telegram.subscriptions.find(user_id, link)
    if offer is None or offer["period"] is None:
        raise ControlError(404, f"{link} is no link to a subscription")
    is_active = known is not None and known["is_active"]
    if is_first and is_active:
        raise ControlError(409, f"user {user_id} is subscribed by {link} already")
    if not is_first and (known is None or known["canceled"] or known["bot_canceled"]):
        raise ControlError(409, f"the subscription of user {user_id} by {link} is not renewed")
    until = telegram.subscriptions.charge(user_id, link, charge_id, offer["period"])
    return tell_of_payment(
        telegram,
        user_id,
        currency=STARS,
        total_amount=offer["total_amount"],
        payload=offer["payload"],
        charge_id=charge_id,
        is_refund=False,
        is_lost=is_lost,
        recurring={
            "subscription_expiration_date": until,
            "is_recurring": True,
            **({"is_first_recurring": True} if is_first else {}),
        },
    )


def turn(telegram: Telegram, user_id: int, link: str, action: str) -> int | None:
    """Their person cancels the renewal or turns it on again, or cannot pay for it; the update's id."""
    offer, known = telegram.subscriptions.link(link), telegram.subscriptions.find(user_id, link)
    if offer is None or known is None or not known["is_active"]:
        raise ControlError(404, f"user {user_id} has no subscription by {link}")
    if action == "resume" and known["bot_canceled"]:
        raise ControlError(409, "the bot cancelled it, and its person cannot turn it on again")
    if action != "fail":
        telegram.subscriptions.turn(known["id"], canceled=action == "cancel")
    told: dict[str, Any] = {
        "user": telegram.users.require(user_id).api(),
        "invoice_payload": offer["payload"],
        "state": STATES[action],
    }
    return telegram.updates.add("subscription", told, f"user:{user_id}")
