"""The API while the database is unavailable: it says so, nothing waits that need not, and no order is doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import users
from dbcore.settings import Settings
from devstack.postgres import EmbeddedPostgres
from devstack.proxy import Cut, FaultProxy, On, Rule, Side, Silence
from tests.bot_frontend.api.conftest import Client
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing

NOBODY_ANSWERS = Rule(On(Side.CLIENT), Silence(), times=None)
COMMITTED_UNHEARD = Rule(
    On(Side.SERVER, kind="C", statement="COMMIT", nth=2), Cut(), times=None
)  # the first: BEGIN, READ COMMITTED


@pytest.fixture
def proxy(postgres_server: EmbeddedPostgres) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", postgres_server.port, login=postgres_server.login) as between:
        yield between


@pytest.fixture
async def behind(
    proxy: FaultProxy,
    settings: Settings,
    make_settings: MakeSettings,
    database_url: str,
    queueing: Queueing,
    engine: GuardedEngine,
) -> AsyncIterator[Client]:
    """The frontend asks by the proxy, and has a second; the test does not."""
    url = proxy.url_of(database_url.rsplit("/", 1)[1])
    given = settings.model_dump(exclude_unset=True)
    slow = make_settings(**{**given, "database_url": url, "db_deadline_seconds": 1.0})
    async with serving(slow, queueing) as at, aiohttp.ClientSession() as http:
        yield Client(f"{at}/api/v1", http, engine)


async def until_it_answers(api: Client, path: str, order: dict[str, object], once: str) -> int:
    """Ask again with the key until it is neither unavailable nor unknown; the balance that it says."""
    while (answer := await api.post(path, order, once=once)).status in {503, 504}:
        assert int(answer.headers["retry-after"]) >= 1
        await asyncio.sleep(0.1)
    assert answer.status == 200, answer.body
    return int(answer.body["balance"])


async def test_keys_are_known_and_pages_answer_while_nobody_answers(
    behind: Client, proxy: FaultProxy
) -> None:
    key = behind.key_for("jobs:read")
    assert (await behind.get("/jobs", key=key)).status == 200
    proxy.add(NOBODY_ANSWERS)
    health = f"{behind.url.removesuffix('/api/v1')}/health/live"
    answered_meanwhile = 0
    asking = [asyncio.create_task(behind.get("/jobs", key=key)) for _ in range(10)]
    while not all(task.done() for task in asking):
        async with behind.http.get(health) as live:
            assert live.status == 200
        answered_meanwhile += 1
        await asyncio.sleep(0.01)
    for answer in await asyncio.gather(*asking):
        assert (answer.status, answer.kind) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1 and answer.body["failure"]
    assert answered_meanwhile >= 10
    for path, status in (("/jobs", 503), ("/broadcasts", 403)):
        assert (await behind.get(path, key=key)).status == status
    assert (await behind.get("/jobs", key="ballast_nonsense")).kind == "unauthorized"
    proxy.clear()
    while (await behind.get("/jobs", key=key)).status != 200:
        await asyncio.sleep(0.1)


async def test_an_order_whose_commit_was_not_heard_is_resolved_by_its_key(
    behind: Client, proxy: FaultProxy, engine: GuardedEngine
) -> None:
    users.get_or_create(engine, profile=users.Profile(1, None, "Ann"))
    order: dict[str, object] = {"amount": 70, "reason": "an apology"}
    assert (await behind.get("/users/1")).status == 200
    proxy.add(COMMITTED_UNHEARD)
    unheard = await behind.post("/users/1/credit", order, once="lost-1")
    assert (unheard.status, unheard.kind) == (504, "outcome-unknown"), unheard.body
    proxy.clear()
    assert await until_it_answers(behind, "/users/1/credit", order, "lost-1") == 70
    assert (await behind.get("/users/1")).body["balance"] == 70


async def test_without_a_database_the_api_says_what_is_missing(
    settings: Settings, queueing: Queueing, engine: GuardedEngine
) -> None:
    bare = settings.model_copy(update={"database_url": None})
    async with serving(bare, queueing) as url, aiohttp.ClientSession() as http:
        api = Client(f"{url}/api/v1", http, engine)
        assert (await api.get("/jobs")).kind == "not-configured"
        assert (await api.get("/jobs", key="ballast_nonsense")).kind == "not-configured"
        async with http.get(f"{url}/health/live") as live:
            assert live.status == 200
