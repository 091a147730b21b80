"""Queues and workers over the API, from Redis alone."""

from __future__ import annotations

from typing import Any, cast

from ballast.builtin.balances import ShowBalance
from ballast.queueing import queue_pauses, worker_drains
from ballast.queueing.envelope import Envelope
from bot_frontend.web.actions import LANE
from tests.bot_frontend.api.conftest import Client
from tests.harness.queueing import Queueing


def beat(queueing: Queueing, node: str, *queues: str, kind: str | None = None) -> None:
    doing = [] if kind is None else [{"kind": kind, "seconds": 2.5}]
    report = {"node": node, "name": node.partition("@")[0], "pid": 7, "queues": [*queues], "doing": doing}
    queueing.inbox.beat(f"{node}:7:a", report)


def ordered(queueing: Queueing) -> list[dict[str, Any]]:
    """What waits to be written into the audit log."""
    lane = queueing.client.lrange(f"ballast:inbox:lane:{LANE}", 0, -1)
    found = []
    for job_id in cast("list[bytes]", lane):
        claim = queueing.inbox.claim(job_id.decode(), "host:1:x")
        assert claim is not None
        found.append(claim.envelope.fields)
        queueing.inbox.finish(claim.envelope.job_id)
    return found


async def test_a_queue_is_paused_and_resumed_once_for_a_key_and_written_down_with_its_reason(
    api: Client, queueing: Queueing
) -> None:
    queueing.publisher.publish(
        queueing.inbox.accept(Envelope.of(ShowBalance(telegram_id=1), job_id="a", lane="a")).dispatch  # type: ignore[arg-type]
    )
    key = api.key_for("fleet:write")
    for replayed in (None, "true"):
        paused = await api.post("/queues/balances/pause", {"reason": "a slow index"}, key=key, once="same")
        assert (paused.status, paused.headers.get("idempotency-replayed")) == (200, replayed)
        assert paused.body["name"] == "balances" and paused.body["length"] == 1
        assert paused.body["paused_by"].startswith("api:key-") and paused.body["paused_seconds"] >= 0
    listed = (await api.get("/queues")).body["items"]
    assert [each["name"] for each in listed if each["paused_by"]] == ["balances"]
    other = await api.post("/queues/users/pause", {}, key=key, once="same")
    assert (other.status, other.kind) == (409, "idempotency-key-reused")
    resumed = await api.post("/queues/balances/resume", {}, key=key)
    assert (resumed.status, resumed.body["paused_by"]) == (200, None)
    again = await api.post("/queues/balances/pause", {"reason": "a slow index"}, key=key, once="same")
    assert again.headers["idempotency-replayed"] == "true"
    assert queue_pauses.read(queueing.client) == {}, "it was resumed since"
    for queue in ("replies", "health", "nothing"):
        assert (await api.post(f"/queues/{queue}/pause", {})).kind == "invalid"
    told = [(each["action"], each["target"], each["reason"]) for each in ordered(queueing)]
    assert told == [("queue.pause", "balances", "a slow index"), ("queue.resume", "balances", "")]


async def test_a_worker_is_drained_and_the_last_one_only_if_the_caller_says_so(
    api: Client, queueing: Queueing
) -> None:
    beat(queueing, "main@one", "balances", kind="balances.show")
    beat(queueing, "main@two", "balances", "replies")
    (one, two) = (await api.get("/workers")).body["items"]
    assert (one["name"], one["state"], one["alone"]) == ("main@one", "working", [])
    assert one["jobs"] == [{"kind": "balances.show", "seconds": 2.5, "pid": 7}]
    assert two["alone"] == ["replies"]
    assert (await api.post("/workers/main@none/drain", {})).kind == "not-found"
    drained = await api.post("/workers/main@one/drain", {"reason": "a new disk"})
    assert (drained.status, drained.body["state"]) == (200, "draining")
    last = await api.post("/workers/main@two/drain", {})
    assert (last.status, last.kind) == (409, "conflict") and "balances, replies" in last.body["detail"]
    assert worker_drains.read(queueing.client).keys() == {"main@one"}
    assert (await api.post("/workers/main@two/drain", {"even_if_last": True})).body["state"] == "draining"
    resumed = await api.post("/workers/main@one/resume", {})
    assert (resumed.status, resumed.body["state"], resumed.body["drained_by"]) == (200, "working", None)
    told = [(each["action"], each["target"], each["actor"]) for each in ordered(queueing)]
    assert told == [
        ("worker.drain", "main@one", "api:owner"),
        ("worker.drain_last", "main@two", "api:owner"),
        ("worker.resume", "main@one", "api:owner"),
    ]
