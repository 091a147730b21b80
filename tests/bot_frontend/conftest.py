from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from ballast.texts.catalogues import use_folder
from dbcore.guard.engine import GuardedEngine
from dbcore.settings import Settings
from devstack.ports import free_port
from tests.harness.browser import chromium
from tests.harness.queueing import Queueing, queueing_at
from tests.texts import pseudo


@pytest.fixture
def queueing(redis_url: str) -> Iterator[Queueing]:
    with queueing_at(redis_url) as ready:
        yield ready


@pytest.fixture
def queueing_without_redis() -> Iterator[Queueing]:
    """Nobody listens there."""
    with queueing_at(f"redis://127.0.0.1:{free_port()}/0") as ready:
        yield ready


@pytest.fixture
def silent_redis() -> Iterator[Queueing]:
    """It accepts and then never says a word, as a frozen server does."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=128) as listener,
        queueing_at(f"redis://127.0.0.1:{listener.getsockname()[1]}/0") as ready,
    ):
        yield ready


@pytest.fixture
def engine(settings: Settings) -> Iterator[GuardedEngine]:
    made = GuardedEngine(settings)
    yield made
    made.dispose()


@pytest.fixture
def pseudo_language(tmp_path: Path) -> Iterator[None]:
    """It can be spoken in the test, beside the languages that there are."""
    pseudo.write(tmp_path)
    use_folder(tmp_path)
    yield
    use_folder(None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """For tests whose loop is their module's. It is started once, for a start takes longer than most of them."""
    async with chromium() as browser:
        yield browser
