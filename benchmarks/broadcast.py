"""A broadcast to a million: how long the snapshot takes, whether the last chunks are as quick as the first, and
whether the sender's memory grows with the audience.

The database, Redis and the engine's parts are real: leases, intents, results, records, followers in the inbox. Only
Telegram is a sink in the sender's own process, for what is measured is everything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import resource
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, cast

import psycopg2
import redis
from telegram import Bot

from ballast.builtin.broadcasts import SendChunk
from ballast.inbox import Inbox, Publisher
from ballast.queueing.snooze import Snoozed
from ballast.telegram.rate_limiter import BulkGrant, GrantLog, RateLimiter
from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import BroadcastStatus
from dbcore.guard.engine import GuardedEngine
from dbcore.settings import Settings
from tests.harness.servers import running_servers
from workers.broadcasts.broadcaster import Broadcaster
from workers.broadcasts.sender import take_chunk

FEW = 10_000
EDGE = 0.1
"""The chunks at the start and at the end that are compared: this share of all, each."""


class _FreePacer(RateLimiter):
    """Grants everybody, and says the paid rate, which makes the largest chunks in use."""

    def bulk(
        self, chat_ids: Sequence[int], *, paid: bool, pieces: int = 1, log: GrantLog | None = None
    ) -> BulkGrant:
        if log is not None:
            self._redis.hset(log.key, mapping={str(field): log.value for field in log.fields.values()})
        return BulkGrant(tuple(chat_ids), 0.0)

    def rate(self, *, paid: bool) -> float:
        return super().rate(paid=True)


@dataclass(frozen=True)
class _Sent:
    message_id: int = 1


class _Sink:
    """Takes every message at once."""

    async def send_message(self, *_: Any, **__: Any) -> _Sent:
        await asyncio.sleep(0)
        return _Sent()


def run(many: int) -> dict[str, Any]:
    """Seconds and megabytes. A chunk's time is the lower quartile of many: what else the machine does disturbs that
    least. `chunk_ratio` is the end's by the start's.
    """
    with running_servers(telegram=False) as servers:
        few = _measured(servers.postgres.url, servers.redis.url, FEW)
        found = _measured(servers.postgres.url, servers.redis.url, many)
    edge = max(2, int(len(found["chunks"]) * EDGE))
    start, end = (
        statistics.quantiles(chunks, n=4)[0] for chunks in (found["chunks"][:edge], found["chunks"][-edge:])
    )
    return {
        "audience": many,
        "snapshot_seconds": round(found["snapshot_seconds"], 2),
        "sending_seconds": round(found["sending_seconds"], 1),
        "chunks": len(found["chunks"]),
        "chunk_ms_at_start": round(1000 * start, 1),
        "chunk_ms_at_end": round(1000 * end, 1),
        "chunk_ratio": round(end / start, 3),
        "megabytes_for_few": round(few["megabytes"], 1),
        "megabytes": round(found["megabytes"], 1),
        "megabytes_more": round(found["megabytes"] - few["megabytes"], 1),
    }


def _measured(database_url: str, redis_url: str, audience: int) -> dict[str, Any]:
    """Register what is missing of the audience, and send to it from a process of its own."""
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO users (telegram_id, first_name) SELECT n, 'Person' FROM generate_series(1, %s) AS n "
            "ON CONFLICT DO NOTHING",
            (audience,),
        )
        cursor.execute("CHECKPOINT")
    connection.close()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_send, args=(database_url, redis_url, theirs))
    process.start()
    found = cast(dict[str, Any], ours.recv())
    process.join()
    return found


def _send(database_url: str, redis_url: str, answer: Connection) -> None:
    engine = GuardedEngine(Settings(_env_file=None, database_url=database_url))
    client = redis.Redis.from_url(redis_url)
    inbox = Inbox(client)
    publisher = Publisher(client)
    home = Broadcaster(client, engine, inbox, publisher, threading.Event(), _FreePacer(client))
    made = broadcasts.create(
        engine, key=f"bench-{time.time()}", payload={"text": "x"}, segment={}, actor="bench"
    )
    started = time.perf_counter()
    begun = broadcasts.begin(engine, made.id)
    snapshot_seconds = time.perf_counter() - started
    started = time.perf_counter()
    chunks = asyncio.run(_all_chunks(home, made.id, begun.run))
    sending_seconds = time.perf_counter() - started
    ended = broadcasts.require(engine, made.id)
    if ended.status is not BroadcastStatus.FINISHED or ended.sent != ended.audience:
        raise RuntimeError(f"it did not end well: {ended}")
    answer.send(
        {
            "snapshot_seconds": snapshot_seconds,
            "sending_seconds": sending_seconds,
            "chunks": chunks,
            "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )


async def _all_chunks(home: Broadcaster, broadcast_id: int, run: int) -> list[float]:
    """Seconds that each full chunk took, one after the other, without the canary and the last."""
    bot = cast(Bot, _Sink())
    seconds: list[float] = []
    number = 0
    while True:
        started = time.perf_counter()
        job = SendChunk(broadcast_id=broadcast_id, run=run, number=number)
        home.starting.acquire()
        chunk = await asyncio.to_thread(take_chunk, home, job, f"bench-{broadcast_id}-{number}")
        if chunk is None:
            return seconds[1:-1]
        with contextlib.suppress(Snoozed):
            await chunk.run(bot)
        seconds.append(time.perf_counter() - started)
        number += 1
