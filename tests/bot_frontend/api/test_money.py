"""Users and transfers over the API: what moves money does so once, and what is refused says why."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dbcore import admin_actions
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, users
from dbcore.ledger.audit import audit
from tests.bot_frontend.api.conftest import Client


@pytest.fixture
def people(engine: GuardedEngine) -> None:
    """Ann, 1, has 1,000; Bob, 2, nothing."""
    for number, name in ((1, "ann"), (2, "bob")):
        users.get_or_create(engine, profile=users.Profile(number, name, name.title()))
    ledger.adjust(
        engine, key="seed", target=users.UserRef(telegram_id=1), amount=1000, memo="", actor="a test"
    )


async def balance(api: Client, telegram_id: int) -> int:
    return int((await api.get(f"/users/{telegram_id}")).body["balance"])


@pytest.mark.usefixtures("people")
async def test_a_credit_is_applied_once_for_its_key_and_is_in_the_audit_log(
    api: Client, engine: GuardedEngine, database_url: str
) -> None:
    order = {"amount": 250, "reason": "an apology"}
    answers = await asyncio.gather(*(api.post("/users/2/credit", order, once="sorry-1") for _ in range(6)))
    assert {answer.status for answer in answers} == {200}, [answer.body for answer in answers]
    assert len({str(answer.body) for answer in answers}) == 1
    assert answers[0].body["balance"] == 250 and answers[0].body["user"]["username"] == "bob"
    assert sum(answer.headers.get("idempotency-replayed") == "true" for answer in answers) == 5
    assert await balance(api, 2) == 250
    (row,) = admin_actions.recent(engine, 10)
    assert (row.actor, row.action, row.target, row.reason) == ("api:owner", "user.credit", "2", "an apology")
    assert (row.before, row.after) == ({"balance": 0}, {"balance": 250})
    for changed in ({"amount": 251}, {"reason": "another"}):
        refused = await api.post("/users/2/credit", {**order, **changed}, once="sorry-1")
        assert (refused.status, refused.kind) == (409, "idempotency-key-reused")
    assert (await api.post("/users/1/credit", order, once="sorry-1")).kind == "idempotency-key-reused"
    assert (await api.post("/users/2/debit", order, once="sorry-1")).kind == "idempotency-key-reused"
    assert await balance(api, 2) == 250
    assert all(finding.ok for finding in audit(database_url))


@pytest.mark.usefixtures("people")
async def test_what_the_ledger_refuses_says_why_and_stays_refused(api: Client) -> None:
    order = {"amount": 1, "reason": "a fee"}
    for _ in range(2):
        refused = await api.post("/users/2/debit", order, once="fee-1")
        assert (refused.status, refused.kind) == (409, "rejected")
        assert refused.body["reason"] == "insufficient_funds"
    await api.post("/users/2/credit", {"amount": 5, "reason": "x"})
    assert (await api.post("/users/2/debit", order, once="fee-1")).kind == "rejected"
    unknown = await api.post("/users/99/credit", order)
    assert (unknown.status, unknown.kind) == (404, "not-found")


@pytest.mark.usefixtures("people")
async def test_an_amount_is_a_number_of_minor_units_and_nothing_else(api: Client) -> None:
    amounts: tuple[Any, ...] = (0, -5, 5.5, "5", True, None, 10**15 + 1, 2**70, [], {})
    for amount in amounts:
        refused = await api.post("/users/2/credit", {"amount": amount, "reason": "x"})
        assert (refused.status, refused.kind) == (422, "invalid"), amount
    bodies: tuple[Any, ...] = (
        {"amount": 5},
        {"amount": 5, "reason": ""},
        {"amount": 5, "reason": "x", "colour": "X"},
    )
    for body in (*bodies, None, {"amount": 5, "reason": "x" * 201}):
        assert (await api.post("/users/2/credit", body)).kind == "invalid", body
    assert await balance(api, 2) == 0


@pytest.mark.usefixtures("people")
async def test_a_frozen_account_sends_nothing_until_it_is_unfrozen(
    api: Client, engine: GuardedEngine
) -> None:
    for replayed in (None, "true"):
        frozen = await api.post("/users/1/freeze", {"reason": "a claim"}, once="f1")
        assert (frozen.status, frozen.body["sending_frozen"], frozen.body["receiving_frozen"]) == (
            200,
            True,
            False,
        )
        assert frozen.headers.get("idempotency-replayed") == replayed
    refused = await api.post("/users/1/debit", {"amount": 1, "reason": "x"})
    assert refused.body["reason"] == "account_frozen"
    assert [user["telegram_id"] for user in (await api.get("/users?frozen=true")).body["items"]] == [1]
    assert (await api.post("/users/1/unfreeze", {"reason": "settled"})).body["sending_frozen"] is False
    assert (await api.post("/users/1/debit", {"amount": 1, "reason": "x"})).status == 200
    assert (await api.post("/users/99/freeze", {"reason": "x"})).kind == "not-found"
    actions = [each.action for each in reversed(admin_actions.recent(engine, 10))]
    assert [action for action in actions if "freeze" in action][:2] == ["user.freeze", "user.unfreeze"]


@pytest.mark.usefixtures("people")
async def test_a_transfer_is_reversed_up_to_what_is_left(api: Client, engine: GuardedEngine) -> None:
    sent = ledger.transfer(
        engine, key="t1", sender_telegram_id=1, recipient_telegram_id=2, amount=300, memo="lunch"
    )
    path = f"/transfers/{sent.transfer_id}"
    assert (await api.get(path)).body["left_to_reverse"] == 300
    for replayed in (None, "true"):
        back = await api.post(f"{path}/reverse", {"amount": 100, "reason": "half"}, once="r1")
        assert (back.status, back.body["left_to_reverse"], back.body["payer"]["telegram_id"]) == (200, 200, 2)
        assert back.headers.get("idempotency-replayed") == replayed
    refused = await api.post(f"{path}/reverse", {"amount": 201, "reason": "too much"})
    assert (refused.status, refused.body["reason"]) == (409, "over_what_is_left")
    assert (await api.post("/transfers/99/reverse", {"amount": 1, "reason": "x"})).kind == "not-found"
    assert await balance(api, 1) == 800
    listed = (await api.get("/transfers?kind=reversal&status=applied")).body["items"]
    assert [(each["reverses"], each["amount"], each["memo"]) for each in listed] == [
        (sent.transfer_id, 100, "half")
    ]
    moved = (await api.get("/users/1/movements?limit=2")).body
    assert [each["amount"] for each in moved["items"]] == [100, -300]
    rest = (await api.get(f"/users/1/movements?limit=2&cursor={moved['next_cursor']}")).body
    assert [each["amount"] for each in rest["items"]] == [1000]
    assert rest["next_cursor"] is None


@pytest.mark.usefixtures("people")
async def test_people_are_found_by_what_an_operator_knows_of_them(api: Client) -> None:
    for query in ("bob", "@BOB", "2", "Bo"):
        found = await api.get(f"/users?q={query}")
        assert 2 in [user["telegram_id"] for user in found.body["items"]], query
    assert (await api.get("/users?q=nobody-at-all")).body == {"items": [], "next_cursor": None}
    first = (await api.get("/users?limit=1")).body
    then = (await api.get(f"/users?limit=1&cursor={first['next_cursor']}")).body
    assert [user["telegram_id"] for page in (first, then) for user in page["items"]] == [2, 1]
    assert (await api.get("/users/99")).kind == "not-found"
    assert (await api.get("/users/99/movements")).kind == "not-found"
