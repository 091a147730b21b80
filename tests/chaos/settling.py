"""How long a user waits whose command comes at the moment when a process is killed (`--settling 10`).

From kill -9 of a process, or of all workers at once, to the answer to a /balance that was sent right after it. Whatever
dies is started again at once. `stopped` is a worker that was stopped (SIGSTOP) for three seconds before it is killed.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from devstack.telegram.control import TelegramControl
from tests.chaos.report import machine, spread
from tests.harness.cluster import Cluster

PARTS = ("main", "second", "light", "frontend", "beat")
WORKERS = ("main", "second", "light")
STOPPED_SECONDS = 3.0
ANSWER_SECONDS_MAX = 90.0
CALM_SECONDS = 5.0
"""Between the last return and the next kill: whoever died is forgotten by then."""

Victims = Callable[[Cluster], list[psutil.Process]]


def _tree_of(*names: str) -> Victims:
    return lambda cluster: [process for name in names for process in cluster.tree(name)]


def _child(cluster: Cluster) -> list[psutil.Process]:
    return cluster.tree("main")[1:2]


KINDS: dict[str, Victims] = {
    "frontend": _tree_of("frontend"),
    "worker": _tree_of("main"),
    "worker, its child": _child,
    "worker, stopped": _tree_of("main"),
    "light": _tree_of("light"),
    "beat": _tree_of("beat"),
    "redis": _tree_of("redis"),
    "postgres": _tree_of("postgres"),
    "all workers": _tree_of(*WORKERS),
}


def _is_up(cluster: Cluster) -> bool:
    return all(victims(cluster) for victims in KINDS.values())


async def _answered_after(cluster: Cluster, telegram: TelegramControl, user_id: int, kind: str) -> float:
    """Seconds from the kill to the answer."""
    victims = KINDS[kind](cluster)
    assert victims
    after = max((message.revision for message in await telegram.messages(user_id)), default=0)
    if kind.endswith("stopped"):
        for process in victims:
            process.suspend()
        await asyncio.sleep(STOPPED_SECONDS)
    for process in victims:
        process.send_signal(signal.SIGKILL)
    killed_at = time.monotonic()
    await telegram.send_text(user_id, "/balance")
    await telegram.wait_for_message(
        user_id,
        lambda message: "our balance" in message.text,  # as it is, or as it was when it was last known
        after=after,
        timeout_seconds=ANSWER_SECONDS_MAX,
    )
    return time.monotonic() - killed_at


async def _measure(cluster: Cluster, times: int) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {kind: [] for kind in KINDS}
    async with TelegramControl(cluster.servers.telegram.url) as telegram:
        user = await telegram.create_user("Alice")
        await telegram.send_text(user.id, "/balance")
        await telegram.wait_for_message(user.id, lambda message: "our balance" in message.text)
        for _ in range(times):
            for kind, seconds in took.items():
                await asyncio.to_thread(cluster.wait_until, lambda: _is_up(cluster), "everything is up")
                await asyncio.sleep(CALM_SECONDS)
                await asyncio.to_thread(cluster.stack.wait_ready, processes=2 * len(WORKERS) - 1)
                seconds.append(await _answered_after(cluster, telegram, user.id, kind))
    return took


def measure(folder: Path, times: int) -> dict[str, Any]:
    """Each kind so often; the seconds that a user waited."""
    cluster = Cluster(folder, parts=PARTS)
    try:
        cluster.open()
        took = asyncio.run(_measure(cluster, times))
        audit = cluster.stack.audit()
    finally:
        left = cluster.close()
    return {
        "machine": machine(),
        "times": times,
        **{kind: spread(seconds) for kind, seconds in took.items()},
        "audit": audit.stdout.splitlines()[-1],
        "left_running": left,
    }
