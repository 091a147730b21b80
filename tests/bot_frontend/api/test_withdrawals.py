"""Withdrawals over the API: an operator's word takes effect once, and the switch stops all payouts."""

from __future__ import annotations

import asyncio

import pytest

from ballast.builtin.withdrawals import notices
from dbcore import admin_actions
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, users, withdrawals
from dbcore.ledger.audit import audit
from dbcore.ledger.withdrawals import Limits, Payout
from tests.bot_frontend.api.conftest import Client

ANN = users.UserRef(telegram_id=1)
FREE = Limits(None, None, None, None)


@pytest.fixture(autouse=True)
def ann(engine: GuardedEngine) -> None:
    """Ann, 1, has 1,000."""
    users.get_or_create(engine, profile=users.Profile(1, "ann", "Ann"))
    ledger.adjust(engine, key="seed", target=ANN, amount=1000, memo="", actor="a test")


def confirmed(engine: GuardedEngine, amount: int) -> int:
    card = withdrawals.create(
        engine,
        key=f"ask-{amount}",
        telegram_id=1,
        amount=amount,
        payout=Payout("manual", "her bank", amount, "CREDIT"),
        limits=FREE,
    )
    outcome = withdrawals.decide(
        engine,
        key=f"press-{amount}",
        token=card.token,
        telegram_id=1,
        confirm=True,
        limits=FREE,
        notice=lambda state: notices(card.token, state),
    )
    assert outcome.number is not None
    return outcome.number


async def test_withdrawals_are_listed_in_pages_with_where_they_go(api: Client, engine: GuardedEngine) -> None:
    first, second = confirmed(engine, 100), confirmed(engine, 200)
    page = (await api.get("/withdrawals?limit=1")).body
    assert [(each["number"], each["state"], each["payout"]["destination"]) for each in page["items"]] == [
        (second, "held", "her bank")
    ]
    page = (await api.get(f"/withdrawals?limit=1&cursor={page['next_cursor']}")).body
    assert [each["number"] for each in page["items"]] == [first]
    assert page["next_cursor"] is None
    assert (await api.get("/withdrawals/999")).kind == "not-found"


async def test_a_key_that_came_with_another_withdrawal_is_refused(api: Client, engine: GuardedEngine) -> None:
    first, second = confirmed(engine, 100), confirmed(engine, 200)
    assert (await api.post(f"/withdrawals/{first}/approve", {}, once="both")).status == 200
    again = await api.post(f"/withdrawals/{second}/approve", {}, once="both")
    assert (again.status, again.kind) == (409, "idempotency-key-reused")
    assert (await api.get(f"/withdrawals/{second}")).body["state"] == "held"


async def test_a_word_takes_effect_once_for_its_key_and_is_in_the_audit_log(
    api: Client, engine: GuardedEngine, database_url: str
) -> None:
    number = confirmed(engine, 300)
    refused = await api.post(f"/withdrawals/{number}/paid", {"reference": "tx"})
    assert (refused.status, refused.body["reason"]) == (409, "not_approved")
    answers = await asyncio.gather(
        *(api.post(f"/withdrawals/{number}/approve", {}, once="yes-1") for _ in range(5))
    )
    assert {(each.status, each.body["state"]) for each in answers} == {(200, "paying")}
    paid = await api.post(f"/withdrawals/{number}/paid", {"reference": "tx-1"})
    assert (paid.body["state"], paid.body["reference"]) == ("paid", "tx-1")
    assert (await api.post(f"/withdrawals/{number}/unpaid", {"reason": "no"})).status == 409
    assert users.get_or_create(engine, profile=users.Profile(1, "ann", "Ann")).balance == 700
    actions = [each.action for each in admin_actions.recent(engine, 10)]
    assert actions.count("withdrawal.approve") == 1
    assert not [each for each in audit(database_url) if not each.ok]


async def test_declined_the_money_is_available_again(api: Client, engine: GuardedEngine) -> None:
    number = confirmed(engine, 400)
    answer = await api.post(f"/withdrawals/{number}/decline", {"reason": "not yours"})
    assert (answer.body["state"], answer.body["reason"]) == ("returned", "not yours")
    assert users.get_or_create(engine, profile=users.Profile(1, "ann", "Ann")).available == 1000


async def test_payouts_are_stopped_and_go_on(api: Client, engine: GuardedEngine) -> None:
    assert (await api.get("/payouts")).body["is_stopped"] is False
    stopped = await api.post("/payouts/stop", {"reason": "trouble"})
    assert (stopped.body["is_stopped"], stopped.body["reason"]) == (True, "trouble")
    assert withdrawals.switch(engine).is_stopped
    assert (await api.post("/payouts/resume", {})).body["is_stopped"] is False
