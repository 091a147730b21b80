"""An inbox on a real Redis, and hands to turn its clock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from ballast.inbox import Inbox


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connected:
        yield connected


@pytest.fixture
def inbox(client: redis.Redis) -> Inbox:
    return Inbox(client)
