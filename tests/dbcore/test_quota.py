"""The forecast of a plan's compute hours, and the count it goes by."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import redis

from dbcore.breaker.compute_usage import NOTE_SECONDS, ComputeUsage
from dbcore.quota import OBSERVED_SECONDS_MIN, QuotaState, Usage, forecast, period

HOUR = 3600.0


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connected:
        yield connected


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("now", "day", "begin", "end"),
    [
        ("2026-11-24 02:00", 1, "2026-11-01", "2026-12-01"),
        ("2026-11-24 02:00", 25, "2026-10-25", "2026-11-25"),
        ("2026-12-31 23:59", 1, "2026-12-01", "2027-01-01"),
        ("2026-01-01 00:00", 1, "2026-01-01", "2026-02-01"),
        ("2026-01-01 00:00", 28, "2025-12-28", "2026-01-28"),
        ("2026-03-01 12:00", 28, "2026-02-28", "2026-03-28"),
    ],
)
def test_a_plans_month_begins_on_its_day(now: str, day: int, begin: str, end: str) -> None:
    assert period(at(now), day) == (at(begin), at(end))


NOW = at("2026-11-11 00:00")  # ten days into the month, twenty before its end


@pytest.mark.parametrize(
    ("hours", "usage", "state"),
    [
        (None, Usage(100 * HOUR, at("2026-11-01")), QuotaState.UNKNOWN),
        (100.0, None, QuotaState.UNKNOWN),
        (100.0, Usage(60.0, NOW - OBSERVED_SECONDS_MIN + 1), QuotaState.UNKNOWN),
        (100.0, Usage(33 * HOUR, at("2026-11-01")), QuotaState.ENOUGH),
        (100.0, Usage(34 * HOUR, at("2026-11-01")), QuotaState.SHORT),
        (100.0, Usage(100 * HOUR, at("2026-11-01")), QuotaState.USED_UP),
        (100.0, Usage(0.0, at("2026-11-01")), QuotaState.ENOUGH),
    ],
)
def test_what_is_not_known_is_not_forecast(
    hours: float | None, usage: Usage | None, state: QuotaState
) -> None:
    assert forecast(hours, usage, now=NOW, renews_on_day=1).state is state


def test_the_pace_is_that_of_the_time_observed() -> None:
    found = forecast(100.0, Usage(50 * HOUR, NOW - 50 * HOUR), now=NOW, renews_on_day=1)
    assert found.state is QuotaState.SHORT
    assert found.used_up_at == pytest.approx(NOW + 50 * HOUR)


def test_the_awake_time_of_many_is_counted_once(client: redis.Redis) -> None:
    """Eight processes that note the same use at once keep the database awake once."""
    members = [ComputeUsage(client, sleeps_after_seconds=300, renews_on_day=1) for _ in range(8)]
    threads = [threading.Thread(target=member.note, args=(1,)) for member in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (key,) = client.scan_iter("ballast:awake:*")
    total = float(client.hget(key, "total") or 0)
    assert 300 <= total < 300 + 60
    usage = members[0].usage(time.time())
    assert usage is not None
    assert 0 <= usage.awake_seconds < 60  # the rest has not passed yet


def test_an_idle_process_notes_nothing(client: redis.Redis) -> None:
    now = 0.0
    awake = ComputeUsage(client, sleeps_after_seconds=300, renews_on_day=1, clock=lambda: now)
    awake.note(0)
    assert awake.usage(time.time()) is None
    awake.note(5)
    (key,) = client.scan_iter("ballast:awake:*")
    first = client.hget(key, "until")
    awake.note(6)  # too soon
    now = NOTE_SECONDS + 1
    awake.note(5)  # nothing new since what was noted
    assert client.hget(key, "until") == first
    awake.note(6)
    assert client.hget(key, "until") != first
