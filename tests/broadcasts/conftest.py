from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from devstack.telegram.control import TelegramControl
from tests.broadcasts.cluster import Cluster, cluster_in


@pytest.fixture(scope="package")
def shared_house(servers_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two bulk workers, the light one and beat, for all tests here."""
    with cluster_in(tmp_path_factory.mktemp("broadcasts"), servers_folder / "postgres-broadcasts") as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_house: Cluster) -> Cluster:
    """All of it running, whatever a test before left dead."""
    for server in (shared_house.postgres, shared_house.redis):
        if not server.accepts():
            server.kill()
            server.start()
    shared_house.start_missing()
    return shared_house


@pytest_asyncio.fixture
async def telegram(cluster: Cluster) -> AsyncIterator[TelegramControl]:
    async with TelegramControl(cluster.telegram.url) as control:
        yield control
        await control.clear_faults()
        await control.set_limits(enabled=False)
