from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from devstack.telegram.control import TelegramControl
from tests.harness.broadcasting import Broadcasting, broadcasting


@pytest.fixture(scope="package")
def shared_cluster(servers_folder: Path) -> Iterator[Broadcasting]:
    """Two bulk workers, the light one and beat, for all tests here."""
    folder = servers_folder / "broadcasts"
    folder.mkdir()
    with broadcasting(folder) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Broadcasting) -> Broadcasting:
    """All of it running, whatever a test before left dead."""
    for server in (shared_cluster.servers.postgres, shared_cluster.servers.redis):
        if not server.accepts():
            server.kill()
            server.start()
    shared_cluster.start_missing()
    return shared_cluster


@pytest_asyncio.fixture
async def telegram(cluster: Broadcasting) -> AsyncIterator[TelegramControl]:
    async with TelegramControl(cluster.servers.telegram.url) as control:
        yield control
        await control.clear_faults()
        await control.set_limits(enabled=False)
