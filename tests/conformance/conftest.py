"""A proxy in front of the session's PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.postgres import EmbeddedPostgres
from devstack.proxy import FaultProxy


@pytest.fixture
def proxy(postgres_server: EmbeddedPostgres) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", postgres_server.port, login=postgres_server.login) as proxy:
        yield proxy


@pytest.fixture
def database(database_url: str) -> str:
    """The name of the test's own, migrated database."""
    return database_url.rsplit("/", 1)[1]
