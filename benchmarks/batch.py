"""Jobs of an app a second: a keyed credit each, by a handler of one job and by a handler of up to 200.

The jobs lie ready in the queue before the worker is let go, each of another person. They send no answer, so what is
measured is claim, commit and finish.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections import defaultdict
from typing import Any

import aiohttp
import psutil

from benchmarks.bot_api import BotApi
from benchmarks.commands import FIRST, SECONDS_MAX, servers
from benchmarks.giver import KINDS
from devstack.ports import free_port
from devstack.stack import Stack

LOOK_EVERY_SECONDS = 0.02
POSTS_AT_ONCE = 32


def run(jobs: int, rounds: int = 3) -> dict[str, Any]:
    """The medians of so many turns of each, in one run."""
    found: dict[str, list[float]] = defaultdict(list)
    with servers() as (folder, database_url, redis_url), BotApi(free_port()) as api:
        stack = Stack(
            folder,
            database_url=database_url,
            redis_url=redis_url,
            telegram_url=api.url,
            BALLAST_APPS="benchmarks.giver:app",
        )
        try:
            stack.start("frontend", "main", "light")
            stack.wait_ready(processes=3)
            _turn(stack, "batch=200", jobs, "warm")  # and each has an account then
            for number in range(rounds):
                for how in KINDS:
                    found[how].append(_turn(stack, how, jobs, str(number)))
            ((done,),) = stack.query("SELECT count(*) FROM transfers")
            if done != jobs * (1 + rounds * len(KINDS)):
                raise RuntimeError(f"{done} credits are in the ledger, and not one per job")
        finally:
            stack.stop_all()
    medians = {how: round(statistics.median(rates), 1) for how, rates in found.items()}
    return {"jobs": jobs, "rounds": rounds, "per_second": medians}


def _turn(stack: Stack, how: str, jobs: int, name: str) -> float:
    """Jobs per second."""
    parent = psutil.Process(stack.pid("main"))
    processes = [parent.pid, *(child.pid for child in parent.children(recursive=True))]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    asyncio.run(_post(stack, how, jobs, name))
    for pid in processes:
        os.kill(pid, signal.SIGCONT)
    began = time.perf_counter()
    while not stack.is_idle():
        if time.perf_counter() - began > SECONDS_MAX:
            raise TimeoutError(f"{how}: not done within {SECONDS_MAX} seconds")
        time.sleep(LOOK_EVERY_SECONDS)
    return jobs / (time.perf_counter() - began)


async def _post(stack: Stack, how: str, jobs: int, name: str) -> None:
    url = f"http://127.0.0.1:{stack.ops_port}/apps/giver/gifts"
    limit = aiohttp.TCPConnector(limit=POSTS_AT_ONCE)
    async with aiohttp.ClientSession(connector=limit) as http:

        async def post(user: int) -> None:
            async with http.post(
                url, json={"how": how, "user": user, "id": f"{how}-{name}-{user}"}
            ) as answer:
                answer.raise_for_status()

        await asyncio.gather(*(post(FIRST + number) for number in range(jobs)))
