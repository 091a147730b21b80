from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from dbcore import fleet
from dbcore.breaker_rules import BreakerReason, BreakerState
from dbcore.fleet import FleetView
from tests.queueing import Queueing, queueing_at
from workers.jobs import DeliverReply
from workers.messages import Message
from workers.quota_alarm import QuotaAlarm

ADMINS = frozenset({1001, 1002})


@pytest.fixture
def queueing(redis_url: str) -> Iterator[Queueing]:
    with queueing_at(redis_url) as ready:
        yield ready


def alarm(queueing: Queueing) -> QuotaAlarm:
    return QuotaAlarm(queueing.client, queueing.inbox, queueing.publisher, ADMINS)


def seen(client: redis.Redis, state: BreakerState, reason: BreakerReason | None) -> FleetView:
    now = fleet.read(client)
    return FleetView(state, reason, now.since, None, 0.0, ())


def test_every_admin_is_told_once_what_to_do(queueing: Queueing) -> None:
    exhausted = seen(queueing.client, BreakerState.OPEN, BreakerReason.QUOTA)
    first, successor = alarm(queueing), alarm(queueing)
    for rescuer in (first, first, successor, first):
        rescuer.look(exhausted)
    assert queueing.inbox.size() == len(ADMINS)
    assert queueing.client.llen("replies") == len(ADMINS)
    told: list[Message] = []
    for key in queueing.client.keys("ballast:inbox:job:*"):
        job_id = str(key, "ascii").removeprefix("ballast:inbox:job:") if isinstance(key, bytes) else ""
        claim = queueing.inbox.claim(job_id, "host:1:aa")
        assert claim is not None
        told += DeliverReply.decode(claim.envelope.fields).messages
    assert {message.chat_id for message in told} == ADMINS
    assert all("python -m dbcore breaker auto" in message.text for message in told)


def test_half_open_in_between_is_the_same_event_and_closed_ends_it(queueing: Queueing) -> None:
    guard = alarm(queueing)
    for state in (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.OPEN):
        guard.look(seen(queueing.client, state, BreakerReason.QUOTA))
    assert queueing.inbox.size() == len(ADMINS)
    guard.look(seen(queueing.client, BreakerState.CLOSED, None))
    guard.look(seen(queueing.client, BreakerState.OPEN, BreakerReason.QUOTA))
    assert queueing.inbox.size() == 2 * len(ADMINS)


def test_the_end_is_noticed_by_whoever_looks_then(queueing: Queueing) -> None:
    exhausted = seen(queueing.client, BreakerState.OPEN, BreakerReason.QUOTA)
    alarm(queueing).look(exhausted)
    successor = alarm(queueing)
    successor.look(seen(queueing.client, BreakerState.CLOSED, None))
    successor.look(exhausted)
    assert queueing.inbox.size() == 2 * len(ADMINS)


def test_an_outage_alarms_nobody(queueing: Queueing) -> None:
    alarm(queueing).look(seen(queueing.client, BreakerState.OPEN, BreakerReason.OUTAGE))
    assert queueing.inbox.size() == 0
