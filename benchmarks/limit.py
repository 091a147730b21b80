"""What a command costs without Ballast around it: a ledger entry by psycopg2, a record by Valkey's scripts, a send."""

from __future__ import annotations

import asyncio
import time

import psycopg2
import redis
from telegram import Bot

from ballast.builtin.balances import ShowBalance
from ballast.inbox import Answered, Inbox, Offer
from ballast.queueing.envelope import Envelope
from ballast.telegram.calls import call
from ballast.telegram.transport import AiohttpRequest
from benchmarks.sink import Sink
from devstack.ports import free_port
from devstack.stack import TOKEN

AT_ONCE = 50
PEOPLE = 500
_ADJUST = """
SELECT count(a.*) FROM unnest(%s::text[], %s::bigint[]) AS given (key, telegram_id)
 CROSS JOIN LATERAL ledger_adjust(given.key, given.key, given.telegram_id, NULL, 1, 'CREDIT', 'limit', 'bench') AS a
"""


def run(database_url: str, redis_url: str, commands: int) -> dict[str, float]:
    """Of each part how many a second, AT_ONCE together; and of all three one after the other."""
    parts = {
        "ledger": _ledger(database_url, commands),
        "record": _record(redis_url, commands),
        "send": asyncio.run(_send(commands)),
    }
    return {**parts, "together": 1 / sum(1 / rate for rate in parts.values())}


def _ledger(database_url: str, commands: int) -> float:
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    first = 7_000_000_000
    try:
        with connection.cursor() as cursor:
            for number in range(PEOPLE):
                cursor.execute("SELECT users_touch(%s, NULL, 'P', 'CREDIT', NULL)", (first + number,))
            began = time.perf_counter()
            for start in range(0, commands, AT_ONCE):
                numbers = range(start, start + AT_ONCE)
                keys = [f"limit-{number}" for number in numbers]
                cursor.execute(_ADJUST, (keys, [first + number % PEOPLE for number in numbers]))
            return commands / (time.perf_counter() - began)
    finally:
        connection.close()


def _record(redis_url: str, commands: int) -> float:
    with redis.Redis.from_url(redis_url) as client:
        inbox = Inbox(client)
        began = time.perf_counter()
        for start in range(0, commands, AT_ONCE):
            ids = [f"limit-{number}" for number in range(start, start + AT_ONCE)]
            job = ShowBalance(telegram_id=1)
            inbox.accept_many([Offer(Envelope.of(job, job_id=job_id, lane=job_id)) for job_id in ids])
            inbox.finish_many([Answered(job_id) for job_id in ids])
        return commands / (time.perf_counter() - began)


async def _send(commands: int) -> float:
    with Sink(free_port(), latency_seconds=0.0) as sink:
        bot = Bot(TOKEN, base_url=f"{sink.url}/bot", request=AiohttpRequest(connections=AT_ONCE))
        room = asyncio.Semaphore(AT_ONCE)

        async def send(number: int) -> None:
            async with room:
                await call(bot, "sendMessage", {"chat_id": number, "text": "Balance: 1.00"})

        began = time.perf_counter()
        await asyncio.gather(*(send(number) for number in range(commands)))
        rate = commands / (time.perf_counter() - began)
        await bot.request.shutdown()
        return rate
