from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from dbcore.migrate import upgrade
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from devstack.redis import EmbeddedRedis
from devstack.stack import ADMIN_ID, TOKEN
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.broadcasts.house import House


@pytest.fixture(scope="package")
def shared_house(servers_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Two bulk workers, the light one and beat, for all tests here."""
    folder = tmp_path_factory.mktemp("broadcasts")
    port = free_port()
    postgres = EmbeddedPostgres(servers_folder / f"postgres-{port}", port)
    redis = EmbeddedRedis(folder / "redis", free_port())
    telegram = TelegramProcess(folder / "telegram", free_port(), TOKEN, admin_ids=(ADMIN_ID,))
    servers: list[EmbeddedPostgres | EmbeddedRedis | TelegramProcess] = [postgres, redis, telegram]
    made: House | None = None
    try:
        for server in servers:
            server.start()
        upgrade(postgres.url)
        made = House(folder, postgres, redis, telegram)
        made.start_missing()
        yield made
    finally:
        if made is not None:
            made.stack.stop_all()
            made.engine.dispose()
        for server in servers:
            server.stop()


@pytest.fixture
def house(shared_house: House) -> House:
    """All of it running, whatever a test before left dead."""
    for server in (shared_house.postgres, shared_house.redis):
        if not server.accepts():
            server.kill()
            server.start()
    shared_house.start_missing()
    return shared_house


@pytest_asyncio.fixture
async def telegram(house: House) -> AsyncIterator[TelegramControl]:
    async with TelegramControl(house.telegram.url) as control:
        yield control
        await control.clear_faults()
        await control.set_limits(enabled=False)
