"""Which workers there are, what drains, and whether somebody else takes their jobs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from ballast.queueing import worker_drains
from ballast.queueing.worker_drains import NoSuchWorker, WorkerState, WouldLeaveAlone
from dbcore.redis_client import redis_time
from dbcore.redis_pace import RESPONSIVE
from tests.harness.queueing import queueing_at
from workers.drain_obeyer import DrainObeyer

NOW = 1_790_000_000.0


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with queueing_at(redis_url) as ready:
        yield ready.client


def process(
    node: str, pid: int, *queues: str, doing: tuple[str, ...] = (), at: float = NOW
) -> dict[str, Any]:
    jobs = [{"kind": kind, "seconds": 1.5} for kind in doing]
    return {"node": node, "pid": pid, "queues": list(queues), "doing": jobs, "beat_at": at}


FLEET = {
    "a": process("main@one", 1, "balances", "replies", doing=("balances.show",)),
    "b": process("main@one", 2, "balances", "replies"),
    "c": process("main@two", 3, "balances"),
    "d": process("light@one", 4, "health"),
}


def states(client: redis.Redis, processes: dict[str, dict[str, Any]], now: float) -> dict[str, WorkerState]:
    found = worker_drains.workers(processes, worker_drains.read(client), now)
    return {each.name: each.state for each in found}


def test_a_worker_is_told_by_its_processes_and_says_what_it_does(client: redis.Redis) -> None:
    light, one, two = worker_drains.workers(FLEET, {}, NOW + 1)
    assert [each.name for each in (light, one, two)] == ["light@one", "main@one", "main@two"]
    assert one.jobs == [{"pid": 1, "kind": "balances.show", "seconds": 1.5}]
    assert (one.queues, one.alone) == (("balances", "replies"), ("replies",))
    assert (two.alone, light.alone) == ((), ("health",))
    assert {each.state for each in (light, one, two)} == {WorkerState.WORKING}
    of_a_release_before = {"e": {**process("", 5, "users"), "node": None, "name": "main", "host": "old"}}
    assert worker_drains.workers(of_a_release_before, {}, NOW)[0].name == "main@old"


def test_the_last_that_takes_a_queues_jobs_is_drained_only_by_somebody_who_says_so(
    client: redis.Redis,
) -> None:
    with pytest.raises(NoSuchWorker, match="expected one of light@one, main@one, main@two"):
        worker_drains.drain(client, "main@three", "nadia", FLEET, even_last=True)
    worker_drains.drain(client, "main@two", "nadia", FLEET, even_last=False)
    with pytest.raises(WouldLeaveAlone, match="no other worker takes the jobs of balances, replies"):
        worker_drains.drain(client, "main@one", "nadia", FLEET, even_last=False)
    assert worker_drains.read(client).keys() == {"main@two"}
    worker_drains.drain(client, "main@one", "olga", FLEET, even_last=True)
    worker_drains.drain(client, "main@one", "somebody later", FLEET, even_last=False)
    assert worker_drains.read(client)["main@one"].by == "olga"
    worker_drains.resume(client, "main@one")
    assert worker_drains.read(client).keys() == {"main@two"}


def test_of_two_who_drain_the_last_two_at_once_one_is_told(redis_url: str, client: redis.Redis) -> None:
    pair = {"a": process("main@one", 1, "balances"), "b": process("main@two", 2, "balances")}

    def try_to(name: str) -> bool:
        with redis.Redis.from_url(redis_url) as own:
            try:
                worker_drains.drain(own, name, "nadia", pair, even_last=False)
            except WouldLeaveAlone:
                return False
            return True

    with ThreadPoolExecutor(2) as threads:
        for _ in range(50):
            assert sorted(threads.map(try_to, ("main@one", "main@two"))) == [False, True]
            for name in ("main@one", "main@two"):
                worker_drains.resume(client, name)


def test_a_drain_is_done_once_the_worker_says_so_and_one_that_hangs_or_ended_is_told_apart(
    client: redis.Redis,
) -> None:
    now = redis_time(client)
    fleet = {name: {**each, "beat_at": now} for name, each in FLEET.items()}
    worker_drains.drain(client, "main@two", "nadia", fleet, even_last=False)
    drain = worker_drains.read(client)["main@two"]
    assert states(client, fleet, now)["main@two"] is WorkerState.DRAINING
    assert states(client, fleet, now + 60)["main@two"] is WorkerState.SILENT
    worker_drains.say(client, "main@two", drain, done_at=None)
    assert states(client, fleet, now + 60)["main@two"] is WorkerState.DRAINING
    worker_drains.say(client, "main@two", drain, done_at=now)
    assert states(client, fleet, now + 60)["main@two"] is WorkerState.DRAINED
    assert states(client, {}, now + 60)["main@two"] is WorkerState.GONE
    assert states(client, {}, now + 1)["main@two"] is WorkerState.DRAINED, "its children may be frozen"
    ended = {name: each for name, each in fleet.items() if each["node"] != "main@two"}
    assert states(client, ended, now + 60)["main@two"] is WorkerState.GONE
    # What it said of a drain before says nothing of the next one.
    worker_drains.resume(client, "main@two")
    worker_drains.drain(client, "main@two", "nadia", fleet, even_last=False)
    worker_drains.say(client, "main@two", drain, done_at=now)
    assert states(client, fleet, redis_time(client))["main@two"] is WorkerState.DRAINING


def test_what_is_left_of_a_worker_that_is_gone_is_forgotten_after_a_day(client: redis.Redis) -> None:
    worker_drains.drain(client, "main@two", "nadia", FLEET, even_last=False)
    client.hset("ballast:workers:drains", "main@two", '{"by": "nadia", "at": 1}')
    left = {name: each for name, each in FLEET.items() if each["node"] != "main@two"}
    left["e"] = process("main@three", 6, "balances", "replies")
    worker_drains.drain(client, "main@three", "nadia", left, even_last=False)
    assert worker_drains.read(client).keys() == {"main@three"}


def test_a_worker_says_that_it_is_drained_only_after_a_last_message_can_have_come(
    client: redis.Redis,
) -> None:
    now, idle = 100.0, False
    fleet = {"c": process("main@two", 3, "balances"), "d": process("main@one", 4, "balances")}
    obeyer = DrainObeyer(client, "main@two", lambda: idle, RESPONSIVE, clock=lambda: now)
    assert not obeyer.look()
    worker_drains.drain(client, "main@two", "nadia", fleet, even_last=False)
    assert not obeyer.look(), "it asks seldom"
    now += 4
    assert obeyer.look() and worker_drains.read(client)["main@two"].said_at is not None
    for is_idle in (False, True, False, True):
        now, idle = now + 1, is_idle
        assert obeyer.look() and not obeyer.is_done
    now += 1
    assert obeyer.look() and not obeyer.is_done
    now += 1
    obeyer.look()
    now += 1
    obeyer.look()
    assert worker_drains.read(client)["main@two"].done_at is not None and obeyer.is_done
    worker_drains.resume(client, "main@two")
    now += 4
    assert not obeyer.look()
