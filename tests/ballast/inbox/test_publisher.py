"""The messages that the inbox puts into Celery's queues are Celery's own."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import redis
from celery import Celery
from kombu.connection import Connection
from kombu.entity import Queue

from ballast.inbox import Dispatch
from tests.harness.queueing import Queueing, queueing_at
from workers import kombu_patches

TICKET = Dispatch("a", "balances", "balances.show", "7")


@pytest.fixture
def queueing(redis_url: str) -> Iterator[Queueing]:
    with queueing_at(redis_url) as queueing:
        yield queueing


def _messages(client: redis.Redis, queue: str = "balances") -> list[dict[str, Any]]:
    """The oldest first."""
    return [json.loads(raw) for raw in reversed(cast("list[bytes]", client.lrange(queue, 0, -1)))]


@pytest.mark.parametrize(("asked_for", "job_id"), [(False, "a"), (False, 'a "\\ü'), (True, "")])
def test_a_message_says_what_celery_s_own_would(queueing: Queueing, asked_for: bool, job_id: str) -> None:
    queue = "health" if asked_for else "balances"
    with Celery(broker=queueing.redis_url, set_as_current=False) as app:
        if asked_for:
            assert queueing.publisher.ask("workers.health.relay", queue=queue, expires_seconds=9.0)
            app.send_task("workers.health.relay", queue=queue, expires=9.0, ignore_result=True)
        else:
            assert queueing.publisher.publish(replace(TICKET, job_id=job_id))
            app.send_task(
                "workers.balances.show",
                kwargs={"job_id": job_id, "place": "7"},
                task_id=job_id,
                queue=queue,
                headers={"place": "7", "claim": None},
                argsrepr="",
                kwargsrepr="",
                ignore_result=True,
            )
    ours, theirs = _messages(queueing.client, queue)
    for message in (ours, theirs):
        body, headers, properties = message["body"], message["headers"], message["properties"]
        message["body"] = json.loads(body if message is ours else b64decode(body))
        assert headers["root_id"] == headers["id"] == properties["correlation_id"]
        assert len(properties.pop("delivery_tag")) == 36
        if asked_for:
            due = datetime.fromisoformat(headers.pop("expires")) - datetime.now(UTC)
            assert timedelta() < due <= timedelta(seconds=9)
            for part in (headers, properties):
                for name in ("id", "root_id", "correlation_id", "argsrepr", "kwargsrepr"):
                    part.pop(name, None)
    assert ours["headers"].items() <= theirs["headers"].items()
    assert ours["properties"].items() <= theirs["properties"].items()
    for part in ("headers", "properties"):
        ours.pop(part), theirs.pop(part)
    assert ours == theirs


def test_messages_are_published_in_their_order_and_in_one_step(queueing: Queueing) -> None:
    dispatches = [Dispatch(f"j{number}", "balances", "balances.show", str(number)) for number in range(20)]
    queueing.publisher.publish(TICKET)  # the script is loaded
    before = queueing.client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert queueing.publisher.publish_many(dispatches) == 20
    assert queueing.client.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1
    assert [message["headers"]["id"] for message in _messages(queueing.client)][1:] == [
        dispatch.job_id for dispatch in dispatches
    ]


@pytest.mark.parametrize("gives_back", [False, True])
def test_what_a_worker_took_and_did_not_do_is_next_in_its_queue_again(
    queueing: Queueing, gives_back: bool
) -> None:
    """Where it stops, or loses the process that had it. Redis holds no second copy meanwhile."""
    kombu_patches.install()
    queueing.publisher.publish_many([TICKET, Dispatch("b", "balances", "balances.show", "8")])
    taken: list[Any] = []
    with Connection(queueing.redis_url) as connection:  # type: ignore[no-untyped-call]
        queue = Queue("balances")  # type: ignore[no-untyped-call]
        consumer = connection.Consumer(queue, accept=["json"], on_message=taken.append, prefetch_count=1)
        with consumer:
            connection.drain_events(timeout=10)
            assert (queueing.client.llen("balances"), queueing.client.exists("unacked")) == (1, 0)
            if gives_back:
                taken[0].requeue()
                taken.clear()
                connection.drain_events(timeout=10)
            assert taken[0].headers["id"] == "a"
    assert [message["headers"]["id"] for message in _messages(queueing.client)] == ["a", "b"]
    assert not queueing.client.exists("unacked")


@pytest.mark.parametrize("memory", [0, 1])
def test_what_a_stopping_worker_held_is_put_back_in_its_order_though_redis_is_full(
    queueing: Queueing, memory: int
) -> None:
    kombu_patches.install()
    queueing.publisher.publish_many(
        [Dispatch(f"j{n}", "balances", "balances.show", f"{n}") for n in range(4)]
    )
    taken: list[Any] = []
    try:
        with Connection(queueing.redis_url) as connection:  # type: ignore[no-untyped-call]
            queue = Queue("balances")  # type: ignore[no-untyped-call]
            with connection.Consumer(queue, accept=["json"], on_message=taken.append, prefetch_count=3):
                for _ in range(3):
                    connection.drain_events(timeout=10)
                queueing.client.config_set("maxmemory", memory)
    finally:
        queueing.client.config_set("maxmemory", 0)
    assert [message.headers["id"] for message in taken] == ["j0", "j1", "j2"]
    assert [message["headers"]["id"] for message in _messages(queueing.client)] == ["j0", "j1", "j2", "j3"]
