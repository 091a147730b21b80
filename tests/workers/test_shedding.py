"""Bulk work leaves the database's last connections to those for whom somebody waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ballast.builtin.broadcasts import SendChunk
from ballast.queueing.snooze import Snoozed
from ballast.telegram.rate_limiter import RateLimiter
from dbcore.breaker import FleetStore
from dbcore.errors import DatabaseAway
from dbcore.guard.engine import GuardedEngine
from devstack.ports import free_port
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing, queueing_at
from workers.broadcasts.broadcaster import Broadcaster
from workers.broadcasts.sender import take_chunk


@pytest.fixture
def queueing(redis_url: str) -> Iterator[Queueing]:
    with queueing_at(redis_url) as ready:
        yield ready


def test_a_chunk_asks_the_database_nothing_while_anybody_finds_no_connection(
    queueing: Queueing, make_settings: MakeSettings
) -> None:
    nowhere = f"postgresql://ballast@127.0.0.1:{free_port()}/ballast"
    engine = GuardedEngine(make_settings(database_url=nowhere))
    home = Broadcaster(
        queueing.client,
        engine,
        queueing.inbox,
        queueing.publisher,
        threading.Event(),
        RateLimiter(queueing.client),
    )
    FleetStore(queueing.client).note_saturation()  # as the link of any process does
    with pytest.raises(Snoozed):
        take_chunk(home, SendChunk(broadcast_id=1), "job")
    assert engine.calls_sent == 0
    queueing.client.delete("ballast:breaker:saturated")
    with pytest.raises(DatabaseAway):
        take_chunk(home, SendChunk(broadcast_id=1), "job")
    assert engine.calls_sent == 1
