"""Commands by more workers, beside a broadcast, and after an outage in which they waited."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import psutil
import psycopg2

from ballast.builtin.balances import AskAdjustment
from benchmarks.bot_api import BotApi
from benchmarks.commands import FIRST, Side, servers
from devstack.ports import free_port

ROUNDS = 3
ROUNDS_BESIDE = 5
PACED_BESIDE = 300
"""Commands beside a broadcast in one round: 6 s at PACE, and a paid broadcast to AUDIENCE takes 10."""

WORKERS = (1, 2, 4)
AUDIENCE = 10_000
UNDER_WAY = 50
"""Messages after which a broadcast is past its first ones, which it sends one by one."""

FIRST_OF_AUDIENCE = 1_000_000
BACKLOG_EACH = 10
BACKLOG_SECONDS_MAX = 600.0


def run(commands: int) -> dict[str, Any]:
    """commands -- as in `commands.run`; the backlog is BACKLOG_EACH times as many."""
    return {
        "workers": {str(processes): _workers(processes, commands) for processes in WORKERS},
        "beside_broadcast": _beside_broadcast(commands),
        "backlog": _backlog(commands),
    }


@contextmanager
def _ballast(commands: int, *, processes: int = 2) -> Iterator[Side]:
    """Ballast with so many processes in its main worker, and its people registered."""
    with servers() as (folder, database_url, redis_url), BotApi(free_port()) as api:
        side = Side("ballast", folder, database_url, redis_url, api, commands)
        try:
            main = side.stack.program("main")
            main = replace(main, argv=[*main.argv, "--concurrency", str(processes)])
            side.start(processes=processes + 1, main=main)
            side.burst(side.people, text="/start")
            side.quiet()
            yield side
        finally:
            side.stop()


def _workers(processes: int, commands: int) -> dict[str, float]:
    with _ballast(commands, processes=processes) as side:
        balance, _ = side.burst(side.people, text="/balance")
        side.burst(side.people, text="/credit {next} 1")
        credit, _ = side.burst(side.people, press=True)
    return {"balance": round(balance, 1), "credit": round(credit, 1)}


def _beside_broadcast(commands: int) -> dict[str, float]:
    """/balance at PACE a second, alone and while a broadcast goes out: at Telegram's free pace, and at the paid one.
    Medians of ROUNDS_BESIDE turns.
    """
    found: dict[str, list[float]] = defaultdict(list)
    with _ballast(commands) as side:
        _register(side.stack.database_url)
        side.stack.start("bulk")
        side.stack.wait_ready(processes=4)
        some = (FIRST, FIRST + min(PACED_BESIDE, commands) - 1)
        for _ in range(ROUNDS_BESIDE):
            turn = side.latency("alone", some, text="/balance")
            for name, options in (("free", ()), ("paid", ("--paid",))):
                under_way = side.taken() + UNDER_WAY
                broadcast_id = _start(side, *options)
                side.stack.wait_until(partial(side.has_sent, under_way), "the broadcast goes out")
                before, began = side.taken(), time.perf_counter()
                turn |= side.latency(name, some, text="/balance")
                sent = side.taken() - before - (some[1] - some[0] + 1)
                turn[f"{name}_per_second"] = sent / (time.perf_counter() - began)
                side.stack.command("workers", "broadcast", "cancel", broadcast_id)
            for name, value in turn.items():
                found[name].append(value)
    return {name: round(statistics.median(values), 2) for name, values in found.items()}


def _start(side: Side, *options: str) -> str:
    ids = side.stack.folder / "ids.txt"
    ids.write_text(" ".join(map(str, range(FIRST_OF_AUDIENCE, FIRST_OF_AUDIENCE + AUDIENCE))))
    fixed = ("--text", "News", "--ids-file", str(ids), "--yes", "--detach")
    started = side.stack.command("workers", "broadcast", "start", *fixed, *options)
    if started.returncode != 0:
        raise RuntimeError(started.stderr)
    return started.stdout.split()[-1]


def _register(database_url: str) -> None:
    people = (FIRST_OF_AUDIENCE, FIRST_OF_AUDIENCE + AUDIENCE - 1)
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO users (telegram_id, first_name) SELECT n, 'Person' FROM generate_series(%s, %s) AS n",
            people,
        )


def _megabytes(processes: Sequence[psutil.Process]) -> float:
    return sum(process.memory_info().rss for process in processes) / 1e6


def _backlog(commands: int) -> dict[str, float]:
    """What was asked for while the database was shut, done once it is open; beside the same in bursts, before and
    after.
    """
    with _ballast(commands) as side:
        stack, count = side.stack, BACKLOG_EACH * commands

        def accepted() -> int:
            return int(stack.redis.hget("ballast:totals", f"jobs_accepted|{AskAdjustment.kind}") or 0)

        def done() -> int:
            ((found,),) = stack.query("SELECT count(*) FROM pending_adjustments WHERE memo <> 'burst'")
            return int(found)

        def bursts() -> list[float]:
            return [side.burst(side.people, text="/credit {next} 1 burst")[0] for _ in range(ROUNDS)]

        rates = bursts()
        workers = psutil.Process(stack.pid("main")).children()
        megabytes, before = _megabytes(workers), accepted()
        stack.command("dbcore", "breaker", "open")
        for number in range(BACKLOG_EACH):
            side.ask(text=f"/credit {{next}} 1 round {number}")
        stack.wait_until(lambda: accepted() - before == count, "all are on record", BACKLOG_SECONDS_MAX)
        stack.command("dbcore", "breaker", "auto")
        began = time.perf_counter()
        stack.wait_until(lambda: done() == count, "all are done", BACKLOG_SECONDS_MAX)
        seconds = time.perf_counter() - began
        more = _megabytes(workers) - megabytes
        stack.wait_until(lambda: stack.redis.zcard("ballast:inbox:all") == 0, "all are answered")
        side.quiet()
        rates += bursts()
        by_admin: dict[int, list[str]] = defaultdict(list)
        for admin, memo in stack.query(
            "SELECT admin_id, memo FROM pending_adjustments WHERE memo <> 'burst' ORDER BY id"
        ):
            by_admin[admin].append(memo)
    expected = [f"round {number}" for number in range(BACKLOG_EACH)]
    return {
        "jobs": count,
        "per_second": round(count / seconds, 1),
        "burst_per_second": round(statistics.median(rates), 1),
        "people_out_of_order": sum(memos != expected for memos in by_admin.values()),
        "megabytes_more": round(more, 1),
    }
