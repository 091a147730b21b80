"""Holds over the API: money that an app set aside is taken or given back once, and the audit log says by whom."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from dbcore import admin_actions
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import holds, ledger, users
from dbcore.ledger.audit import audit
from tests.bot_frontend.api.conftest import Client

ANN = users.UserRef(telegram_id=1)


@pytest.fixture
def people(engine: GuardedEngine) -> None:
    """Ann, 1, has 1,000; Bob, 2, nothing."""
    for number, name in ((1, "ann"), (2, "bob")):
        users.get_or_create(engine, profile=users.Profile(number, name, name.title()))
    ledger.adjust(engine, key="seed", target=ANN, amount=1000, memo="", actor="a test")


def held(engine: GuardedEngine, amount: int, *, expires_after: timedelta | None = None) -> int:
    made = holds.hold(
        engine,
        key=f"h{amount}",
        owner=ANN,
        amount=amount,
        memo="a bet",
        actor="shop",
        expires_after=expires_after,
    )
    assert made.hold_id is not None
    return made.hold_id


@pytest.mark.usefixtures("people")
async def test_holds_are_listed_in_pages_with_whose_they_are(api: Client, engine: GuardedEngine) -> None:
    first, second = held(engine, 100), held(engine, 200)
    page = (await api.get("/holds?limit=1")).body
    assert [(each["id"], each["owner"]["username"], each["state"]) for each in page["items"]] == [
        (second, "ann", "open")
    ]
    page = (await api.get(f"/holds?limit=1&cursor={page['next_cursor']}")).body
    assert [each["id"] for each in page["items"]] == [first]
    assert (await api.get("/holds?telegram_id=2")).body["items"] == []
    assert (await api.get("/holds?state=posted")).body["items"] == []
    assert (await api.get(f"/holds/{first}")).body["memo"] == "a bet"
    assert (await api.get("/holds/999")).kind == "not-found"


@pytest.mark.usefixtures("people")
async def test_a_hold_is_posted_once_for_its_key_and_the_rest_is_available(
    api: Client, engine: GuardedEngine, database_url: str
) -> None:
    number = held(engine, 300)
    order = {"amount": 120, "to": 2, "reason": "Bob won"}
    answers = await asyncio.gather(
        *(api.post(f"/holds/{number}/post", order, once="won-1") for _ in range(5))
    )
    assert {answer.status for answer in answers} == {200}, [answer.body for answer in answers]
    assert sum(answer.headers.get("idempotency-replayed") == "true" for answer in answers) == 4
    assert (answers[0].body["state"], answers[0].body["posted_amount"]) == ("posted", 120)
    ann, bob = (await api.get("/users/1")).body, (await api.get("/users/2")).body
    assert (ann["balance"], ann["held"], bob["balance"]) == (880, 0, 120)
    (row,) = admin_actions.recent(engine, 10)
    assert (row.actor, row.action, row.target) == ("api:owner", "hold.post", str(number))
    assert (row.before, row.after) == ({"state": "open"}, {"state": "posted", "posted_amount": 120})
    for changed in ({"amount": 121}, {"to": 1}, {"reason": "another"}):
        again = await api.post(f"/holds/{number}/post", {**order, **changed}, once="won-1")
        assert again.kind == "idempotency-key-reused", changed
    assert all(finding.ok for finding in audit(database_url))


@pytest.mark.usefixtures("people")
async def test_a_voided_hold_is_available_again_and_cannot_be_posted(
    api: Client, engine: GuardedEngine
) -> None:
    number = held(engine, 300)
    assert (await api.post(f"/holds/{number}/void", {"reason": "no bet"})).body["state"] == "voided"
    assert (await api.get("/users/1")).body["available"] == 1000
    for _ in range(2):
        refused = await api.post(f"/holds/{number}/post", {"reason": "late"}, once="late-1")
        assert (refused.kind, refused.body["reason"]) == ("rejected", "already_voided")
    actions = [(row.action, row.outcome) for row in admin_actions.recent(engine, 10)]
    assert actions == [("hold.post", "refused: already_voided"), ("hold.void", "done")]


@pytest.mark.usefixtures("people")
async def test_what_cannot_be_taken_of_a_hold_is_refused_with_the_reason(
    api: Client, engine: GuardedEngine
) -> None:
    number = held(engine, 300)
    for order, reason in (({"amount": 301}, "more_than_held"), ({"to": 77}, "unknown_user")):
        refused = await api.post(f"/holds/{number}/post", {"reason": "x", **order})
        assert (refused.kind, refused.body["reason"]) == ("rejected", reason)
    over = held(engine, 10, expires_after=timedelta(milliseconds=1))
    await asyncio.sleep(0.01)
    assert (await api.get(f"/holds/{over}")).body["state"] == "expired"
    refused = await api.post(f"/holds/{over}/post", {"reason": "late"})
    assert refused.body["reason"] == "expired"
    assert (await api.post("/holds/999/void", {"reason": "x"})).kind == "not-found"
    assert (await api.get("/users/1")).body["held"] == 300
