"""Who may call what."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator

import aiohttp
import pytest

from ballast.operators.api_scopes import SCOPES
from bot_frontend.web.api.request_rate import RequestRate
from dbcore import api_keys
from dbcore.api_keys import KeyRefused
from dbcore.guard.engine import GuardedEngine
from dbcore.settings import Settings
from tests.bot_frontend.api.conftest import Client
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing

ROUTES = {
    ("GET", "/users"): "users:read",
    ("GET", "/users/1"): "users:read",
    ("GET", "/users/1/movements"): "users:read",
    ("POST", "/users/1/message"): "users:write",
    ("POST", "/users/1/erase"): "users:write",
    ("GET", "/users/1/failures"): "users:read",
    ("GET", "/users/1/waiting"): "users:read",
    ("GET", "/users/1/broadcasts"): "users:read",
    ("GET", "/users/1/subscriptions"): "users:read",
    ("GET", "/users/1/movements.csv"): "users:read",
    ("GET", "/users.csv"): "users:read",
    ("GET", "/transfers.csv"): "transfers:read",
    ("POST", "/users/1/credit"): "money:write",
    ("POST", "/users/1/debit"): "money:write",
    ("POST", "/users/1/freeze"): "users:write",
    ("POST", "/users/1/unfreeze"): "users:write",
    ("GET", "/transfers"): "transfers:read",
    ("GET", "/transfers/1"): "transfers:read",
    ("POST", "/transfers/1/reverse"): "money:write",
    ("GET", "/holds"): "transfers:read",
    ("GET", "/holds/1"): "transfers:read",
    ("POST", "/holds/1/post"): "money:write",
    ("POST", "/holds/1/void"): "money:write",
    ("GET", "/withdrawals"): "transfers:read",
    ("GET", "/withdrawals/1"): "transfers:read",
    ("POST", "/withdrawals/1/approve"): "money:write",
    ("POST", "/withdrawals/1/decline"): "money:write",
    ("POST", "/withdrawals/1/paid"): "money:write",
    ("POST", "/withdrawals/1/unpaid"): "money:write",
    ("GET", "/payouts"): "transfers:read",
    ("POST", "/payouts/stop"): "money:write",
    ("POST", "/payouts/resume"): "money:write",
    ("GET", "/jobs"): "jobs:read",
    ("GET", "/jobs/causes"): "jobs:read",
    ("GET", "/jobs/waiting"): "jobs:read",
    ("POST", "/jobs/retry"): "jobs:write",
    ("POST", "/jobs/discard"): "jobs:write",
    ("GET", "/jobs/ABCDEFGH"): "jobs:read",
    ("POST", "/jobs/ABCDEFGH/retry"): "jobs:write",
    ("POST", "/jobs/ABCDEFGH/discard"): "jobs:write",
    ("GET", "/broadcasts"): "broadcasts:read",
    ("GET", "/broadcasts/1"): "broadcasts:read",
    ("POST", "/broadcasts"): "broadcasts:write",
    ("GET", "/broadcasts/options"): "broadcasts:write",
    ("POST", "/broadcasts/preview"): "broadcasts:write",
    ("POST", "/broadcasts/media"): "broadcasts:write",
    ("GET", "/broadcasts/1/variants"): "broadcasts:read",
    ("GET", "/broadcasts/1/recipients.csv"): "broadcasts:read",
    ("POST", "/broadcasts/1/test"): "broadcasts:write",
    ("GET", "/broadcasts/1/tests"): "broadcasts:write",
    ("POST", "/broadcasts/1/start"): "broadcasts:write",
    ("POST", "/broadcasts/1/pause"): "broadcasts:write",
    ("POST", "/broadcasts/1/resume"): "broadcasts:write",
    ("POST", "/broadcasts/1/cancel"): "broadcasts:write",
    ("GET", "/queues"): "jobs:read",
    ("POST", "/queues/balances/pause"): "fleet:write",
    ("POST", "/queues/balances/resume"): "fleet:write",
    ("GET", "/workers"): "jobs:read",
    ("POST", "/workers/main@host/drain"): "fleet:write",
    ("POST", "/workers/main@host/resume"): "fleet:write",
    ("GET", "/audit"): "audit:read",
}
"""The scope that each needs."""

OF_OWNERS = {
    ("GET", "/api/v1/roles"),
    ("POST", "/api/v1/roles/{telegram_id}"),
    ("GET", "/api/v1/approvals"),
    ("POST", "/api/v1/approvals/{approval_id}/approve"),
    ("POST", "/api/v1/approvals/{approval_id}/decline"),
    ("GET", "/api/v1/sessions"),
    ("POST", "/api/v1/sessions/{session_id}/end"),
    ("POST", "/api/v1/subscriptions/{number}/cancel-renewal"),
    ("POST", "/api/v1/subscriptions/{number}/allow-renewal"),
}
"""For which no key is enough."""


def pattern(path: str) -> str:
    """As the document has it."""
    for value, name in {
        "/queues/balances": "/queues/{queue}",
        "/workers/main@host": "/workers/{worker}",
        "/ABCDEFGH": "/{reference}",
        "/broadcasts/1": "/broadcasts/{broadcast_id}",
        "/users/1": "/users/{telegram_id}",
        "/transfers/1": "/transfers/{transfer_id}",
        "/holds/1": "/holds/{hold_id}",
        "/withdrawals/1": "/withdrawals/{number}",
        **dict.fromkeys(("}/retry", "}/discard", "}/start", "}/pause", "}/resume", "}/cancel"), "}/{action}"),
    }.items():
        if name != "}/{action}" or not path.startswith(("/queues", "/workers")):
            path = path.replace(value, name)
    return f"/api/v1{path}"


async def test_each_path_answers_to_its_scope_and_to_no_other(api: Client) -> None:
    keys = {scope: api.key_for(scope) for scope in SCOPES}
    for ((method, path), needed), scope in itertools.product(ROUTES.items(), SCOPES):
        body: dict[str, object] = {"amount": 1, "reason": "x"} if needed == "money:write" else {"reason": "x"}
        body = {"text": "x"} if path.endswith(("/message", "/broadcasts", "/preview")) else body
        body = {"telegram_id": 1} if path.endswith("/test") else body
        path = f"{path}?type=photo&telegram_id=1" if path.endswith("/media") else path
        body = (
            {"reason": "x"}
            if path.endswith("/void") or "/withdrawals/" in path or "/payouts/" in path
            else body
        )
        body = {"reference": "x"} if path.endswith("/paid") else body
        body = {"matching": {}} if path in {"/jobs/retry", "/jobs/discard"} else body
        answer = await api.ask(method, path, body if method == "POST" else None, key=keys[scope])
        if scope == needed:
            assert answer.status in {200, 404, 409}, (path, scope, answer.body)
        else:
            assert (answer.status, answer.kind, answer.body["scope"]) == (403, "forbidden", needed), path
    document = await api.http.get(f"{api.url.removesuffix('/api/v1')}/openapi.json")
    documented = {
        (method.upper(), path)
        for path, operations in (await document.json())["paths"].items()
        if path.startswith("/api/v1/")
        for method in operations
    }
    assert {(method, pattern(path)) for method, path in ROUTES} == documented - OF_OWNERS


async def test_without_a_key_or_with_a_wrong_one_nothing_is_told(api: Client) -> None:
    for method, path in ROUTES:
        answer = await api.ask(method, path, key=None)
        assert (answer.status, answer.kind) == (401, "unauthorized"), path
    for key in ("nonsense", "ballast_nonsense", ""):
        answer = await api.get("/jobs", key=key)
        assert (answer.status, answer.kind) == (401, "unauthorized"), key
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_key_works_at_once_and_a_revoked_one_soon_no_more(api: Client, engine: GuardedEngine) -> None:
    made, key = api_keys.create(engine, name="nightly", scopes=["jobs:read"], created_by="a test")
    assert (await api.get("/jobs", key=key)).status == 200
    with pytest.raises(KeyRefused, match="named nightly already"):
        api_keys.create(engine, name="nightly", scopes=["jobs:read"], created_by="a test")
    for name in ("owner", "Local"):
        with pytest.raises(KeyRefused, match="what the audit log calls"):
            api_keys.create(engine, name=name, scopes=["jobs:read"], created_by="a test")
    api_keys.revoke(engine, made.name)
    while (await api.get("/jobs", key=key)).status == 200:
        await asyncio.sleep(0.1)  # five seconds at most
    assert (await api.get("/jobs", key=key)).status == 401
    assert key not in str(api_keys.newest(engine, 10))


async def test_without_ops_token_only_the_host_itself_may_read_and_keys_may_act_from_it(
    make_settings: MakeSettings, settings: Settings, queueing: Queueing, engine: GuardedEngine
) -> None:
    open_settings = settings.model_copy(update={"ops_token": None})
    async with serving(open_settings, queueing) as url, aiohttp.ClientSession() as http:
        api = Client(f"{url}/api/v1", http, engine)
        assert (await api.get("/jobs", key=None)).status == 200
        assert (await api.post("/jobs/ABCDEFGH/retry", key=None)).kind == "forbidden"
        assert (await api.post("/jobs/ABCDEFGH/retry", key=api.key_for("jobs:write"))).kind == "not-found"
        for headers in (
            {"X-Forwarded-For": "192.0.2.1"},
            {"Host": "evil.example"},
            {"Origin": "http://evil.example"},
        ):
            for key in (None, api.key_for("jobs:write")):
                answer = await api.get("/jobs", key=key, **headers)
                assert answer.kind == "unauthorized", headers


async def pieces() -> AsyncIterator[bytes]:
    """70,000 bytes whose number is not said before."""
    for _ in range(7):
        yield b" " * 10_000


async def test_what_is_malformed_is_a_problem_that_says_what(api: Client) -> None:
    for path in ("/jobs?limit=0", "/jobs?limit=x", "/jobs?state=odd", "/jobs/7f3kq2ma", "/broadcasts/0"):
        answer = await api.get(path)
        assert (answer.status, answer.kind) == (422, "invalid"), path
        assert answer.body["errors"][0]["at"] and answer.body["errors"][0]["message"]
    authorized = {"Authorization": "Bearer sesame, open, sesame"}
    url = f"{api.url}/jobs/ABCDEFGH/retry"
    async with api.http.post(url, headers=authorized) as missing:
        assert missing.status == 400
        assert (await missing.json(content_type=None))["type"].endswith(":idempotency-key-missing")
    for bad in ("", "a b", "x" * 65, "pending:1", "opening:1"):
        assert (await api.post("/jobs/ABCDEFGH/retry", once=bad)).kind in {"bad-request"}
    bodies: tuple[object, ...] = ({"reason": 5}, {"reason": "x" * 201}, {"raison": ""}, [], "x")
    for body in bodies:
        assert (await api.post("/jobs/ABCDEFGH/retry", body)).kind == "invalid", body
    headers = {**authorized, "Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/json"}
    for data, status in (
        (b"{", 422),
        (b"\xff", 400),
        (b"[" * 60_000, 400),
        (b'{"reason": "a", "reason": "b"}', 400),
        (b" " * 70_000, 413),
        (pieces(), 413),
    ):
        async with api.http.post(url, data=data, headers=headers) as refused:
            assert refused.status == status, data
            assert refused.content_type == "application/problem+json"


async def test_a_caller_has_so_many_requests_a_minute(
    settings: Settings, queueing: Queueing, engine: GuardedEngine
) -> None:
    bounded = settings.model_copy(update={"api_requests_per_minute": 3})
    async with serving(bounded, queueing) as url, aiohttp.ClientSession() as http:
        api = Client(f"{url}/api/v1", http, engine)
        statuses = [(await api.get("/nothing")).status for _ in range(4)]
        assert statuses == [404, 404, 404, 429]
        refused = await api.get("/nothing")
        assert refused.kind == "rate-limited" and 1 <= int(refused.headers["retry-after"]) <= 20
        assert (await api.get("/jobs", key=api.key_for("jobs:read"))).status == 200


def test_requests_come_back_over_a_minute() -> None:
    now = 0.0
    rate = RequestRate(60, lambda: now)
    assert [rate.take("a") for _ in range(60)] == [0.0] * 60
    assert rate.take("a") == pytest.approx(1.0)
    now = 2.5
    assert [rate.take("a") > 0 for _ in range(3)] == [False, False, True]
    assert rate.take("b") == 0.0
