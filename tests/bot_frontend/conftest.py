from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from devstack.ports import free_port
from tests.harness.queueing import Queueing, queueing_at


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
