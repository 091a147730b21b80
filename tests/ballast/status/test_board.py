"""When the status page's board is read anew. On a real Redis."""

from __future__ import annotations

from typing import Any

import redis

from ballast.status import board
from dbcore.breaker import override
from dbcore.breaker.compute_usage import ComputeUsage
from dbcore.redis_client import redis_time

EMPTY: dict[str, Any] = {"dead_letters": {"open": 0, "items": []}, "broadcasts": [], "actions": []}


def kept(client: redis.Redis, *, ago_seconds: float, work: int = 0) -> None:
    board.keep(client, {"at": redis_time(client) - ago_seconds, "work": work, **EMPTY})


def is_due(client: redis.Redis, *, work: int = 0, awake: ComputeUsage | None = None) -> bool:
    return board.is_due(client, now=redis_time(client), work=work, awake=awake)


def test_it_is_read_where_it_is_missing_or_old(client: redis.Redis) -> None:
    assert is_due(client)
    kept(client, ago_seconds=0)
    assert not is_due(client)
    kept(client, ago_seconds=2 * board.FRESH_SECONDS)
    assert is_due(client)


def test_one_of_another_release_is_read_anew(client: redis.Redis) -> None:
    board.keep(client, {"at": redis_time(client), "letters": []})
    assert board.read(client) is None
    assert is_due(client)


def test_the_last_one_stays_while_the_breaker_is_open(client: redis.Redis) -> None:
    kept(client, ago_seconds=60)
    override.set_override(client, "open", "test")
    assert not is_due(client)
    override.set_override(client, "auto", "test")
    assert is_due(client)


def test_a_database_that_may_sleep_is_neither_woken_nor_kept_awake(client: redis.Redis) -> None:
    def awake(stays_seconds: float) -> ComputeUsage:
        return ComputeUsage(client, sleeps_after_seconds=stays_seconds, renews_on_day=1)

    assert not is_due(client, work=5, awake=awake(300))  # nobody used it
    awake(0).note(1)
    assert not is_due(client, work=5, awake=awake(0))  # it sleeps again
    awake(300).note(1)
    assert is_due(client, work=5, awake=awake(300))
    kept(client, ago_seconds=60, work=5)
    assert not is_due(client, work=5, awake=awake(300))  # nothing new: looking again would keep it awake
    assert is_due(client, work=6, awake=awake(300))


def test_work_is_what_ended_on_the_database() -> None:
    counts = {
        "jobs_done|balances.show": 3,
        "jobs_done|health.act": 1,
        "jobs_done|health.database_status": 7,
        "jobs_done|replies.deliver": 9,
        "jobs_done|forged": 5,
        "dead_letters": 2,
    }
    assert board.work_done(counts) == 4
