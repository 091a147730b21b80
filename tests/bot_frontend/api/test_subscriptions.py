"""Subscriptions over the API: listed for a user, and a renewal is changed only once Telegram has answered."""

from __future__ import annotations

import time

import pytest

from ballast.builtin.subscriptions import follows
from dbcore import admin_actions
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import star_subscriptions
from dbcore.ledger.payments import PaymentKind
from dbcore.ledger.star_subscriptions import PERIOD_SECONDS, PlanInvoice, SubscriptionCharge
from dbcore.ledger.users import Profile
from tests.bot_frontend.api.conftest import Client

WHY: dict[str, object] = {"reason": "asked by mail"}


@pytest.fixture
def number(engine: GuardedEngine) -> int:
    """Ann, 1, is subscribed."""
    now = int(time.time())
    invoice = PlanInvoice("premium", 250, "s1:premium:250:x:y")
    ann = Profile(1, "ann", "Ann")
    charge = SubscriptionCharge(
        PaymentKind.PAID, "c1", ann, 250, 25_000, invoice, True, now, now + PERIOD_SECONDS
    )
    booked = star_subscriptions.book(engine, charge, follows=follows).number
    assert booked is not None
    return booked


async def test_a_users_subscriptions_are_listed(api: Client, number: int) -> None:
    (found,) = (await api.get("/users/1/subscriptions")).body["items"]
    assert (found["number"], found["plan"], found["stars"], found["renewal"], found["is_paid"]) == (
        number,
        "premium",
        250,
        "on",
        True,
    )
    assert (await api.get("/users/2/subscriptions")).body["items"] == []


async def test_a_renewal_is_cancelled_once_telegram_has_answered_and_once_for_its_key(
    api: Client, engine: GuardedEngine, number: int
) -> None:
    path = f"/subscriptions/{number}/cancel-renewal"
    asked = await api.post(path, WHY, once="k1")
    assert (asked.status, asked.body["renewal"], asked.body["wanted"]) == (200, "on", "cancelled")
    again = await api.post(path, WHY, once="k1")
    assert (again.status, again.body["wanted"]) == (200, "cancelled")
    under_way = await api.post(path, WHY, once="k2")
    assert (under_way.status, under_way.body["reason"]) == (409, "subscription_change_under_way")
    other = await api.post(f"/subscriptions/{number}/allow-renewal", WHY, once="k1")
    assert (other.status, other.kind) == (409, "idempotency-key-reused")
    assert (await api.post("/subscriptions/999/cancel-renewal", WHY, once="k3")).status == 404

    found = star_subscriptions.find(engine, number)
    assert found is not None and found.wanted_key is not None
    star_subscriptions.answer(
        engine, number=number, wanted_key=found.wanted_key, refusal=None, follows=follows
    )
    (listed,) = (await api.get("/users/1/subscriptions")).body["items"]
    assert (listed["renewal"], listed["cancelled_by_bot"], listed["wanted"]) == ("cancelled", True, None)
    assert admin_actions.outcome_of(engine, "k1") == "done"
    allowed = await api.post(f"/subscriptions/{number}/allow-renewal", WHY, once="k4")
    assert (allowed.status, allowed.body["wanted"]) == (200, "allowed")
