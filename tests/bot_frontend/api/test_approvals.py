"""Limits of a treasurer over the API: what is above them waits for an owner, who decides it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from dbcore import admin_actions
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import users
from dbcore.ledger.audit import audit
from dbcore.settings import Settings
from tests.bot_frontend.api.conftest import Answer, Client
from tests.bot_frontend.test_page import status
from tests.bot_frontend.test_roles import signed_in
from tests.bot_frontend.test_web import serving
from tests.harness.queueing import Queueing

TREASURER, OWNER = 101, 102


class Signed:
    """Asks as somebody who signed in on the page."""

    def __init__(self, url: str, http: aiohttp.ClientSession, csrf: str) -> None:
        self.api = url, http, csrf

    async def post(self, path: str, body: object, once: str) -> Answer:
        url, http, csrf = self.api
        headers = {"X-CSRF-Token": csrf, "Idempotency-Key": once}
        async with http.post(f"{url}/api/v1{path}", json=body, headers=headers) as answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, found, await answer.json(content_type=None))


@pytest.fixture
async def at(settings: Settings, queueing: Queueing, engine: GuardedEngine) -> AsyncIterator[str]:
    roles = f"{TREASURER}:treasurer,{OWNER}:owner"
    given = settings.model_dump(exclude_unset=True)
    limited = Settings(
        _env_file=None, **{**given, "admin_roles": roles, "credit_limit": "1", "credit_limit_per_day": "1.5"}
    )
    users.get_or_create(engine, profile=users.Profile(2, "bob", "Bob"))
    async with serving(limited, queueing) as url:
        yield url


async def test_a_treasurers_credit_above_the_limit_is_recorded_and_moves_once_when_an_owner_approves(
    at: str, queueing: Queueing, engine: GuardedEngine, database_url: str
) -> None:
    order = {"amount": 500, "reason": "order 17"}
    async with (
        signed_in(at, queueing, TREASURER) as ones,
        signed_in(at, queueing, OWNER) as others,
        aiohttp.ClientSession() as http,
    ):
        treasurer = Signed(at, ones, (await status(ones, at))["actions"]["csrf"])
        owner = Signed(at, others, (await status(others, at))["actions"]["csrf"])
        api = Client(f"{at}/api/v1", http, engine)
        within = await treasurer.post("/users/2/credit", {**order, "amount": 100}, "a")
        assert (within.status, within.body["balance"]) == (200, 100)
        for replayed in (None, "true"):
            asked = await treasurer.post("/users/2/credit", order, "k")
            assert (asked.status, asked.headers.get("idempotency-replayed")) == (202, replayed)
        assert (asked.body["status"], asked.body["exceeds"], asked.body["actor"]) == (
            *("waiting", "over_limit"),
            f"telegram:{TREASURER}",
        )
        assert (await treasurer.post("/users/2/debit", {**order, "amount": 51}, "d")).status == 202
        assert (await treasurer.post("/approvals/1/approve", {}, "x")).kind == "forbidden"
        listed = (await api.get("/approvals?waiting=true")).body["items"]
        assert [each["amount"] for each in listed] == [-51, 500]
        number = asked.body["id"]
        for replayed in (None, "true"):
            done = await owner.post(f"/approvals/{number}/approve", {"reason": "checked"}, "y")
            assert (done.status, done.headers.get("idempotency-replayed")) == (200, replayed), done.body
            assert (done.body["status"], done.body["decided_by"]) == ("approved", f"telegram:{OWNER}")
        late = await owner.post(f"/approvals/{number}/decline", {}, "z")
        assert (late.status, late.kind) == (409, "conflict")
        declined = await owner.post(f"/approvals/{listed[0]['id']}/decline", {}, "w")
        assert declined.body["status"] == "declined"
        assert (await treasurer.post("/users/2/debit", {**order, "amount": 51}, "d")).kind == "conflict"
        again = await treasurer.post("/users/2/credit", order, "k")
        assert (again.status, again.headers["idempotency-replayed"]) == (200, "true")
        assert (await api.get("/users/2")).body["balance"] == 600
        assert (await api.get("/approvals?waiting=true")).body["items"] == []
        assert (await owner.post("/approvals/99/approve", {}, "v")).kind == "not-found"
        # An owner, and OPS_TOKEN, have no limits.
        assert (await owner.post("/users/2/credit", {**order, "amount": 5_000}, "b")).status == 200
        assert (await api.post("/users/2/credit", {**order, "amount": 5_000})).status == 200
    booked = {(row.actor, row.action) for row in admin_actions.recent(engine, 20)}
    assert booked >= {
        (f"telegram:{TREASURER}", "approval.ask"),
        (f"telegram:{OWNER}", "approval.approve"),
        (f"telegram:{TREASURER}", "user.credit"),
        (f"telegram:{OWNER}", "approval.decline"),
    }
    assert all(finding.ok for finding in audit(database_url))


async def test_what_an_owner_approves_and_the_ledger_refuses_is_told_to_both(
    at: str, queueing: Queueing, engine: GuardedEngine
) -> None:
    order = {"amount": 500, "reason": "order 17"}
    async with signed_in(at, queueing, TREASURER) as ones, aiohttp.ClientSession() as http:
        treasurer = Signed(at, ones, (await status(ones, at))["actions"]["csrf"])
        api = Client(f"{at}/api/v1", http, engine)
        asked = await treasurer.post("/users/2/debit", order, "k")
        refused = await api.post(f"/approvals/{asked.body['id']}/approve", {})
        assert (refused.kind, refused.body["reason"]) == ("rejected", "insufficient_funds")
        assert (await treasurer.post("/users/2/debit", order, "k")).kind == "rejected"


async def test_an_owner_has_limits_by_the_api_only_if_the_settings_name_them(
    settings: Settings, queueing: Queueing, engine: GuardedEngine
) -> None:
    given = {**settings.model_dump(exclude_unset=True), "admin_roles": f"{OWNER}:owner,{TREASURER}:treasurer"}
    limited = Settings(
        _env_file=None, **{**given, "credit_limit": "1", "role_limits": "owner:3:none,treasurer:2:none"}
    )
    users.get_or_create(engine, profile=users.Profile(2, "bob", "Bob"))
    async with (
        serving(limited, queueing) as url,
        signed_in(url, queueing, OWNER) as ones,
        signed_in(url, queueing, TREASURER) as others,
        aiohttp.ClientSession() as http,
    ):
        owner = Signed(url, ones, (await status(ones, url))["actions"]["csrf"])
        treasurer = Signed(url, others, (await status(others, url))["actions"]["csrf"])
        api = Client(f"{url}/api/v1", http, engine)
        for who, amount, expected in (
            (owner, 300, 200),
            (owner, 301, 202),
            (treasurer, 200, 200),
            (treasurer, 201, 202),
        ):
            order = {"amount": amount, "reason": "order 17"}
            answer = await who.post("/users/2/credit", order, f"k{amount}")
            assert answer.status == expected, (amount, answer.body)
        assert (await api.post("/users/2/credit", {"amount": 9_000, "reason": "x"})).status == 200
        for own in (await api.get("/approvals?waiting=true")).body["items"]:
            refused = await owner.post(f"/approvals/{own['id']}/approve", {}, f"d{own['id']}")
            assert refused.status == (409 if own["amount"] == 301 else 200), refused.body
