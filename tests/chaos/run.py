"""One run: people, an adversary, then calm, then the audit."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis

from devstack.telegram.control import MessageMissingError, TelegramControl
from tests.chaos.auditor import Verdict, audit
from tests.chaos.fault_injector import Damage, inject, schedule
from tests.chaos.faults import Fault, Site
from tests.chaos.people import Crowd, insist
from tests.chaos.plan import plans
from tests.chaos.truth import Record, read_database, read_telegram
from tests.harness.cluster import ADMIN_IDS, WORKERS, Cluster

SETTLED_SECONDS_MAX = 180.0
PEOPLE_SECONDS_MAX = 300.0
LOOK_EVERY_SECONDS = 0.1
MEMORY_LOOK_SECONDS = 1.0
MEMORY_GROWTH_BYTES_MAX = 64 * 1024 * 1024
"""A worker process may outgrow the largest fresh one by so much: its pools, caches and a backlog of answers."""


@dataclass
class Outcome:
    seed: int
    seconds: float
    faults: Sequence[Fault]
    damage: Damage
    verdict: Verdict
    updates: int
    """Handed to the bot, redelivered ones counted again."""
    settle_seconds: float
    memory_fresh_bytes: int
    memory_peak_bytes: int
    restarts: Counter[str] = field(default_factory=Counter)
    record: Record = field(default_factory=Record)

    @property
    def passed(self) -> bool:
        return not self.verdict.findings


def run(folder: Path, *, seconds: float, seed: int, faults: Sequence[Fault] | None = None) -> Outcome:
    """Build a cluster in `folder`, let people and adversary at it, judge. `faults` in place of the seed's own.

    Every third seed has its updates brought by webhook, the others poll.
    """
    chosen = schedule(seed, seconds) if faults is None else faults
    cluster = Cluster(folder, proxied=True, webhook=seed % 3 == 0, HEALTH_PROBE_SECONDS="5")
    left: list[str] = []
    try:
        cluster.open()
        outcome = asyncio.run(_live(cluster, seconds, seed, chosen))
        audited = cluster.stack.audit()
        starts = cluster.starts()
    finally:
        left = cluster.close()
    unsettled, outcome.verdict = outcome.verdict.findings, audit(outcome.record)
    findings = outcome.verdict.findings
    findings += unsettled
    if audited.returncode != 0:
        findings.append(f"python -m dbcore audit: {audited.stdout}{audited.stderr}")
    findings += [f"still running after the stop: {process}" for process in left]
    growth = outcome.memory_peak_bytes - outcome.memory_fresh_bytes
    if growth > MEMORY_GROWTH_BYTES_MAX:
        findings.append(f"a worker process grew by {growth // 1024 // 1024} MiB")
    outcome.restarts = Counter({name: count - 1 for name, count in starts.items() if count > 1})
    return outcome


async def _live(cluster: Cluster, seconds: float, seed: int, faults: Sequence[Fault]) -> Outcome:
    async with TelegramControl(cluster.servers.telegram.url) as telegram:
        crowd = Crowd(telegram)
        await crowd.register()
        await _settled(cluster, telegram)
        fresh = max(_worker_memory(cluster), default=0)
        peaks: list[int] = []
        watch = asyncio.create_task(_watch_memory(cluster, peaks))
        living = asyncio.create_task(crowd.live(plans(seed, seconds)))
        damage = await inject(Site(cluster, telegram), faults)
        await asyncio.to_thread(cluster.wait_until, cluster.servers.accept, "the servers are back")
        await insist(telegram.clear_faults)
        healed = time.monotonic()
        unsettled = await _come_to_rest(cluster, telegram, living)
        settle_seconds = time.monotonic() - healed
        watch.cancel()
        record = Record(written=crowd.said, storms=damage.times, admins=frozenset(ADMIN_IDS))
        await read_telegram(telegram, record)
        await asyncio.to_thread(read_database, cluster.servers.postgres.url, record)
    return Outcome(
        seed=seed,
        seconds=seconds,
        faults=faults,
        damage=damage,
        verdict=Verdict(findings=unsettled),
        updates=sum(asked.handed_out for asked in record.asked),
        settle_seconds=settle_seconds,
        memory_fresh_bytes=fresh,
        memory_peak_bytes=max(peaks, default=0),
        record=record,
    )


async def _come_to_rest(cluster: Cluster, telegram: TelegramControl, living: asyncio.Task[None]) -> list[str]:
    """Wait for the people and then for the cluster. What does not come to rest is a finding; the audit says more."""
    try:
        async with asyncio.timeout(PEOPLE_SECONDS_MAX):
            await living
        await _settled(cluster, telegram)
    except (TimeoutError, ExceptionGroup) as error:
        jobs = await asyncio.to_thread(cluster.stack.redis.zrange, "ballast:inbox:all", 0, 9)
        return [f"not settled ({type(error).__name__}); the oldest jobs on record: {jobs!r}"]
    return []


async def _settled(cluster: Cluster, telegram: TelegramControl) -> None:
    """Every update is acknowledged and no job is on record any more. Raises TimeoutError with what is left."""
    async with asyncio.timeout(SETTLED_SECONDS_MAX):
        while True:
            try:
                await telegram.wait_until_acknowledged(timeout_seconds=SETTLED_SECONDS_MAX)
                if cluster.stack.redis.zcard("ballast:inbox:all") == 0:
                    return
            except (redis.RedisError, MessageMissingError):
                pass  # still on its way up
            await asyncio.sleep(LOOK_EVERY_SECONDS)


def _worker_memory(cluster: Cluster) -> list[int]:
    sizes = []
    for name in WORKERS:
        for process in cluster.tree(name):
            try:
                sizes.append(process.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
    return sizes


async def _watch_memory(cluster: Cluster, peaks: list[int]) -> None:
    while True:
        peaks.append(max(_worker_memory(cluster), default=0))
        await asyncio.sleep(MEMORY_LOOK_SECONDS)
