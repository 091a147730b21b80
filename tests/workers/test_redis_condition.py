"""A Redis that refuses writes, deletes keys or forgets is known as such. A full one lets the backlog be finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.connection import Connection
from kombu.entity import Queue

from ballast.builtin.users import GetOrCreateUser
from ballast.inbox import Inbox
from ballast.queueing.envelope import Envelope
from dbcore.breaker import FleetStore
from dbcore.breaker.state import FleetState
from dbcore.ledger.balance_cache import BalanceSnapshot
from dbcore.redis_condition import RedisCondition, RedisInspector, RedisTrouble
from devstack.ports import free_port
from devstack.redis import EmbeddedRedis
from tests.harness.queueing import Queueing, queueing_at
from workers import kombu_patches

OWNER = "host:1:a"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    own = EmbeddedRedis(tmp_path / "redis", free_port())
    own.start()
    yield own
    own.kill()


@pytest.fixture
def queueing(server: EmbeddedRedis) -> Iterator[Queueing]:
    kombu_patches.install()
    with queueing_at(server.url) as ready:
        yield ready


@pytest.fixture
def look(queueing: Queueing) -> Callable[[], RedisCondition]:
    return RedisInspector(queueing.client, look_seconds=0.0).look


def envelope(job_id: str, lane: str | None = None) -> Envelope:
    return Envelope.of(GetOrCreateUser(telegram_id=1), job_id=job_id, lane=lane or job_id)


def used(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])


def test_a_redis_as_it_should_be_has_no_trouble(look: Callable[[], RedisCondition]) -> None:
    assert look().troubles == ()
    assert look().stops_intake is None


@pytest.mark.parametrize(
    ("command", "trouble"),
    [
        (("CONFIG", "SET", "min-replicas-to-write", "1"), RedisTrouble.TOO_FEW_REPLICAS),
        (("REPLICAOF", "127.0.0.1", "1"), RedisTrouble.READ_ONLY),
    ],
)
def test_a_redis_that_refuses_writes_stops_intake_and_says_why(
    queueing: Queueing, look: Callable[[], RedisCondition], command: tuple[str, ...], trouble: RedisTrouble
) -> None:
    queueing.client.execute_command(*command)  # type: ignore[no-untyped-call]
    assert look().stops_intake is trouble


@pytest.mark.parametrize(
    ("setting", "value", "trouble"),
    [
        ("maxmemory-policy", "allkeys-lru", RedisTrouble.MAY_EVICT),
        ("appendonly", "no", RedisTrouble.NOT_PERSISTENT),
    ],
)
def test_a_redis_that_may_forget_is_said_to_and_still_used(
    queueing: Queueing,
    look: Callable[[], RedisCondition],
    setting: str,
    value: str,
    trouble: RedisTrouble,
) -> None:
    queueing.client.config_set(setting, value)
    assert look().troubles == (trouble,)
    assert look().stops_intake is None


def test_a_redis_that_deletes_keys_stops_intake_until_it_no_longer_can(
    queueing: Queueing, look: Callable[[], RedisCondition]
) -> None:
    client = queueing.client
    for number in range(200):
        client.set(f"filler:{number}", "x" * 10_000)
    look()
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", used(client) - 500_000)
    client.set("one-more", "x" * 10_000)
    assert look().evicted_keys > 0
    assert look().stops_intake is RedisTrouble.EVICTING
    assert look().stops_intake is RedisTrouble.EVICTING, "also while nothing more is deleted"
    assert RedisInspector(client).look().stops_intake is RedisTrouble.EVICTING, "nor does a restart forget it"
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 0)
    assert look().stops_intake is None


def test_intake_is_stopped_while_there_is_memory_to_finish_with(
    queueing: Queueing, look: Callable[[], RedisCondition]
) -> None:
    client = queueing.client
    client.config_set("maxmemory", used(client) + 3_000_000)
    assert look().troubles == ()
    client.config_set("maxmemory", used(client) + 1_500_000)
    assert look().troubles == (RedisTrouble.MEMORY_SHORT,)
    client.config_set("maxmemory", used(client) + 500_000)
    assert look().stops_intake is RedisTrouble.MEMORY_FULL


def test_a_full_redis_takes_no_job_and_finishes_those_on_record(queueing: Queueing) -> None:
    inbox, client = queueing.inbox, queueing.client
    FleetStore(client).commit(FleetState(), FleetState(version=1), "somebody")
    for job_id, lane in (("a", "one"), ("b", "one"), ("c", "two")):
        inbox.accept(envelope(job_id, lane))
    dispatch = inbox.accept(envelope("d")).dispatch
    assert dispatch is not None
    client.config_set("maxmemory", 1)

    with pytest.raises(redis.OutOfMemoryError):
        inbox.accept(envelope("e"))
    assert not client.exists("ballast:inbox:job:e")
    inbox.beat(OWNER, {"name": "main"})
    assert inbox.claim("a", OWNER, queue="users", sequence="1") is not None
    inbox.note_sent("a", 1)
    following = inbox.finish("a").following
    assert following is not None
    assert following.job_id == "b"
    assert inbox.claim("b", OWNER, queue="users", sequence="2") is not None
    assert inbox.release("b", OWNER, delay_seconds=0)
    assert "b" in {again.job_id for again in inbox.rescue(10)[1]}
    assert queueing.publisher.publish(dispatch)
    assert FleetStore(client).commit(FleetState(version=1), FleetState(version=2), "somebody")


def test_a_full_redis_has_whatever_ends_a_job_written_down(queueing: Queueing) -> None:
    """The first write of each of these steps needs memory."""
    inbox, client = queueing.inbox, queueing.client
    for job_id in ("a", "b", "c"):
        inbox.accept(envelope(job_id))
    client.config_set("maxmemory", 1)
    assert inbox.answer("a", "[]") is not None
    assert inbox.unknown_kind("b", "shop.redeem") is None
    assert client.hexists("ballast:inbox:job:b", "unknown_since")
    inbox.finish("c", [BalanceSnapshot(7, "CREDIT", 150, 3)])
    assert not client.exists("ballast:inbox:job:c")


@pytest.mark.parametrize("by_operator", [False, True])
def test_a_full_redis_hands_messages_to_workers(queueing: Queueing, by_operator: bool) -> None:
    """An operator's call is Celery's to keep until it is done. A job is on record, and its message is kept nowhere."""
    dispatch = queueing.inbox.accept(envelope("a")).dispatch
    assert dispatch is not None
    queueing.client.config_set("maxmemory", 1)
    if by_operator:
        with Celery(broker=queueing.redis_url, set_as_current=False) as app:
            app.send_task("workers.users.get_or_create", task_id="a", queue="users")
    else:
        assert queueing.publisher.publish(dispatch)
    taken: list[Any] = []
    with Connection(queueing.redis_url) as connection:  # type: ignore[no-untyped-call]
        queue = Queue("users")  # type: ignore[no-untyped-call]
        consumer = connection.Consumer(queue, accept=["json"], on_message=taken.append)
        with consumer:
            connection.drain_events(timeout=10)
            assert queueing.client.hlen("unacked") == int(by_operator)
            taken[0].ack()
    assert taken[0].headers["id"] == "a"
    assert queueing.client.hlen("unacked") == 0


def test_beats_alone_keep_a_process_alive(inbox: Inbox) -> None:
    assert inbox.beat(OWNER, {"name": "main"}) == set()
    inbox.accept(envelope("a"))
    inbox.claim("a", OWNER)
    assert inbox.beat(OWNER, None) == set(), "it asks for nothing"
    assert inbox.beat(OWNER, {"name": "main"}) == {"a"}
