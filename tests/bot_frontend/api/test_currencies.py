"""Several currencies over the API: acts and lists take one, and limits are of each."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import users
from dbcore.ledger.audit import audit
from dbcore.settings import Settings
from tests.bot_frontend.api.conftest import Client
from tests.bot_frontend.api.test_approvals import OWNER, TREASURER, Signed
from tests.bot_frontend.test_page import status
from tests.bot_frontend.test_roles import signed_in
from tests.bot_frontend.test_web import serving
from tests.harness.queueing import Queueing


@pytest.fixture
async def at(settings: Settings, queueing: Queueing, engine: GuardedEngine) -> AsyncIterator[str]:
    several = {
        "admin_roles": f"{TREASURER}:treasurer,{OWNER}:owner",
        "credit_limit": "5",
        "currencies": "EUR:2:Euro:€,TON:9",
    }
    users.get_or_create(engine, profile=users.Profile(2, "bob", "Bob"))
    given = {**settings.model_dump(exclude_unset=True), **several}
    async with serving(Settings(_env_file=None, **given), queueing) as url:
        yield url


async def test_credits_debits_and_movements_are_of_the_currency_that_is_named(
    at: str, engine: GuardedEngine, database_url: str
) -> None:
    async with aiohttp.ClientSession() as http:
        api = Client(f"{at}/api/v1", http, engine)
        order = {"amount": 250, "reason": "an apology"}
        for _ in range(2):
            done = await api.post("/users/2/credit", {**order, "currency": "EUR"}, once="k")
            assert (done.status, done.body["balance"], done.body["currency"]) == (200, 250, "EUR")
        assert (await api.post("/users/2/credit", order, once="k")).kind == "idempotency-key-reused"
        assert (await api.post("/users/2/credit", {**order, "currency": "GBP"})).kind == "not-found"
        assert (await api.post("/users/2/debit", order)).body["reason"] == "insufficient_funds"
        debited = await api.post("/users/2/debit", {**order, "amount": 50, "currency": "EUR"})
        assert debited.body["balance"] == 200

        user = (await api.get("/users/2")).body
        assert (user["balance"], user["currency"]) == (0, "CREDIT")
        assert user["other_balances"] == [{"currency": "EUR", "balance": 200, "held": 0}]
        moved = (await api.get("/users/2/movements?currency=EUR")).body["items"]
        assert [each["amount"] for each in moved] == [-50, 250]
        assert (await api.get("/users/2/movements")).body["items"] == []
        assert (await api.get("/users/2/movements?currency=GBP")).kind == "not-found"
        table = (await api.get("/users/2/movements.csv?currency=EUR")).body
        assert ",-0.50,EUR,2.00," in table
        listed = (await api.get("/transfers")).body["items"]
        assert {(each["amount"], each["currency"], each["status"]) for each in listed} == {
            (50, "EUR", "applied"),
            (250, "EUR", "applied"),
            (250, "CREDIT", "rejected"),
        }
    assert all(finding.ok for finding in audit(database_url))


async def test_a_treasurers_limit_is_as_many_units_of_each_currency(at: str, queueing: Queueing) -> None:
    async with signed_in(at, queueing, TREASURER) as http:
        treasurer = Signed(at, http, (await status(http, at))["actions"]["csrf"])
        nanos = {"amount": 5 * 10**9, "currency": "TON", "reason": "order 17"}
        assert (await treasurer.post("/users/2/credit", nanos, "a")).status == 200
        more = await treasurer.post("/users/2/credit", {**nanos, "amount": 5 * 10**9 + 1}, "b")
        assert (more.status, more.body["currency"], more.body["exceeds"]) == (202, "TON", "over_limit")
        cents = {"amount": 501, "currency": "EUR", "reason": "order 17"}
        assert (await treasurer.post("/users/2/credit", cents, "c")).status == 202
    async with signed_in(at, queueing, OWNER) as http:
        owner = Signed(at, http, (await status(http, at))["actions"]["csrf"])
        approved = await owner.post(f"/approvals/{more.body['id']}/approve", {}, "yes")
        assert (approved.status, approved.body["status"], approved.body["currency"]) == (
            200,
            "approved",
            "TON",
        )
