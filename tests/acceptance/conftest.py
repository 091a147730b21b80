from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.harness.servers import AUTHORITY, running_telegram

MakeStack = Callable[..., Stack]


@pytest.fixture
def telegram_server(tmp_path: Path) -> Iterator[TelegramProcess]:
    with running_telegram(tmp_path / "telegram", admin_ids=(ADMIN_ID,)) as server:
        yield server


@pytest_asyncio.fixture
async def telegram(telegram_server: TelegramProcess) -> AsyncIterator[TelegramControl]:
    async with TelegramControl(telegram_server.url) as control:
        yield control


@pytest.fixture
def make_stack(
    tmp_path: Path, database_url: str, redis_url: str, telegram_server: TelegramProcess
) -> Iterator[MakeStack]:
    """A stack that is not started yet; whatever of it runs at the end is ended."""
    made: list[Stack] = []

    def make(**options: str) -> Stack:
        folder = tmp_path / f"stack{len(made)}"
        folder.mkdir()
        settings = {
            "database_url": database_url,
            "redis_url": redis_url,
            "telegram_url": telegram_server.url,
            "SSL_CERT_FILE": AUTHORITY,
            **options,
        }
        made.append(Stack(folder, **settings))
        return made[-1]

    yield make
    for stack in made:
        stack.stop_all()


@pytest.fixture
def stack(make_stack: MakeStack) -> Stack:
    """Frontend and both workers, ready."""
    ready = make_stack()
    ready.start("frontend", "main", "light")
    ready.wait_ready(processes=3)
    return ready
