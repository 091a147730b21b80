"""A frontend with its API, on real servers. One serves a whole module: starting one takes longer than asking it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from dbcore import api_keys
from dbcore.guard.engine import GuardedEngine
from dbcore.settings import Settings
from devstack.stack import TOKEN
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing

OPS_TOKEN = "sesame, open, sesame"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any

    @property
    def kind(self) -> str:
        """Of a problem."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.body["status"] == self.status
        prefix, _, kind = str(self.body["type"]).rpartition(":")
        assert prefix == "urn:problem-type:ballast" and self.body["title"] and self.body["detail"]
        return kind


@dataclass
class Client:
    """Asks the API as the owner, or with the key given."""

    url: str
    http: aiohttp.ClientSession
    engine: GuardedEngine
    keys: dict[frozenset[str], str] = field(default_factory=dict)

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = OPS_TOKEN,
        once: str | None = None,
        **headers: str,
    ) -> Answer:
        """once -- the Idempotency-Key; one of its own by default."""
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        if method == "POST":
            headers["Idempotency-Key"] = uuid.uuid4().hex if once is None else once
        async with self.http.request(method, f"{self.url}{path}", json=body, headers=headers) as answer:
            text = await answer.text()
            is_json = answer.content_type.endswith("json")
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, found, (await answer.json(content_type=None)) if is_json else text)

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return await self.ask("POST", path, body, **options)

    def key_for(self, *scopes: str) -> str:
        wanted = frozenset(scopes)
        if wanted not in self.keys:
            name = f"key-{len(self.keys)}-{uuid.uuid4().hex[:6]}"
            _, self.keys[wanted] = api_keys.create(self.engine, name=name, scopes=scopes, created_by="a test")
        return self.keys[wanted]


@pytest.fixture
def engine(make_settings: MakeSettings, database_url: str) -> Iterator[GuardedEngine]:
    made = GuardedEngine(make_settings(database_url=database_url, db_deadline_seconds=30))
    yield made
    made.dispose()


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str, database_url: str) -> Settings:
    return make_settings(
        redis_url=redis_url, database_url=database_url, telegram_bot_token=TOKEN, ops_token=OPS_TOKEN
    )


@pytest.fixture
async def api(settings: Settings, queueing: Queueing, engine: GuardedEngine) -> AsyncIterator[Client]:
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        yield Client(f"{url}/api/v1", http, engine)
