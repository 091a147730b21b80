"""What can go wrong: one small function a kind, in the table KINDS.

A new kind is a function `async def strike(site, fault) -> bool` and a line in the table. It returns False where
there was nothing to strike (the target was down already), and has healed what it did when it returns.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil
import psycopg2
import redis

from devstack.proxy import Cut, Delay, On, Rule, Side, Silence
from devstack.telegram.control import ControlRefusedError, TelegramControl
from tests.chaos.people import NETWORK_ERRORS
from tests.harness.cluster import Cluster

CONNECT_SECONDS_MAX = 2


@dataclass(frozen=True)
class Site:
    """Where a fault strikes."""

    cluster: Cluster
    telegram: TelegramControl


@dataclass(frozen=True)
class Fault:
    """One fault of a schedule.

    at_seconds -- after the schedule's start.
    seconds -- how long it lasts, where its kind lasts.
    pick -- which one of many (children, connections), as a share.
    """

    at_seconds: float
    kind: str
    target: str
    seconds: float
    pick: float


Strike = Callable[[Site, Fault], Awaitable[bool]]


@dataclass(frozen=True)
class Kind:
    """weight -- how often it is drawn. targets -- a name that stands there twice is drawn twice as often."""

    name: str
    weight: int
    targets: Sequence[str]
    strike: Strike
    seconds_min: float = 0.0
    seconds_max: float = 0.0


async def kill(site: Site, fault: Fault) -> bool:
    """kill -9 of one process; of PostgreSQL its immediate stop, which recovers from the log like a crash."""
    pid = site.cluster.pid(fault.target)
    if pid is None:
        return False
    return _signal(pid, signal.SIGQUIT if fault.target == "postgres" else signal.SIGKILL)


async def kill_tree(site: Site, fault: Fault) -> bool:
    """kill -9 of a worker and its children at once, as when its container or machine goes."""
    killed = [_signal(process.pid, signal.SIGKILL) for process in site.cluster.tree(fault.target)]
    return any(killed)


async def kill_child(site: Site, fault: Fault) -> bool:
    children = site.cluster.tree(fault.target)[1:]
    return bool(children) and _signal(children[int(fault.pick * len(children))].pid, signal.SIGKILL)


async def freeze(site: Site, fault: Fault) -> bool:
    """SIGSTOP of the process alone, SIGCONT after a while."""
    return await _freeze(site.cluster.tree(fault.target)[:1], fault.seconds)


async def freeze_tree(site: Site, fault: Fault) -> bool:
    """SIGSTOP of a process and all below it: a machine that stalls."""
    return await _freeze(site.cluster.tree(fault.target), fault.seconds)


async def freeze_child(site: Site, fault: Fault) -> bool:
    children = site.cluster.tree(fault.target)[1:]
    return bool(children) and await _freeze([children[int(fault.pick * len(children))]], fault.seconds)


async def cut_redis_clients(site: Site, fault: Fault) -> bool:
    """CLIENT KILL of one to three connections; their owners see a reset."""

    def cut() -> bool:
        client = redis.Redis.from_url(site.cluster.servers.redis.url, socket_timeout=CONNECT_SECONDS_MAX)
        with client, suppress(redis.RedisError):
            mine = client.client_id()
            others = [entry["id"] for entry in client.client_list() if entry["id"] != str(mine)]
            first = int(fault.pick * len(others))
            for client_id in others[first : first + 1 + int(fault.pick * 3)]:
                client.client_kill_filter(_id=client_id)
            return bool(others)
        return False

    return await asyncio.to_thread(cut)


async def terminate_backends(site: Site, fault: Fault) -> bool:
    """pg_terminate_backend of every second connection of Ballast, or of one."""

    def terminate() -> bool:
        with suppress(psycopg2.Error):
            connection = psycopg2.connect(
                site.cluster.servers.postgres.url,
                connect_timeout=CONNECT_SECONDS_MAX,
                application_name="chaos",
                options="-c statement_timeout=2000",
            )
            try:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute(
                        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                        " AND application_name <> 'chaos' AND backend_type = 'client backend' ORDER BY pid"
                    )
                    pids = [row[0] for row in cursor.fetchall()]
                    chosen = pids[::2] if fault.pick < 0.5 else pids[int(fault.pick * len(pids)) :][:1]
                    for pid in chosen:
                        cursor.execute("SELECT pg_terminate_backend(%s)", (pid,))
                return bool(chosen)
            finally:
                connection.close()
        return False

    return await asyncio.to_thread(terminate)


async def sever(site: Site, fault: Fault) -> bool:
    """Every connection of Ballast to a server ends at once, by FIN or by RST."""
    proxy = site.cluster.proxies[fault.target]
    struck = proxy.connections_open > 0
    await asyncio.to_thread(proxy.sever, reset=fault.pick < 0.5)
    return struck


async def refuse(site: Site, fault: Fault) -> bool:
    """What is connected is cut, and nobody is let in for a while."""
    proxy = site.cluster.proxies[fault.target]
    await asyncio.to_thread(proxy.refuse)
    try:
        await asyncio.to_thread(proxy.sever)
        await asyncio.sleep(fault.seconds)
    finally:
        await asyncio.to_thread(proxy.accept)
    return True


def on_the_wire(on: On, do: Cut | Silence) -> Strike:
    """The next one to four messages of a kind meet their fate, where they come within the fault's time."""

    async def strike(site: Site, fault: Fault) -> bool:
        return await _with_rule(site, fault, Rule(on, do, times=1 + int(fault.pick * 4)))

    return strike


def slow_wire(on: On, seconds_max: float) -> Strike:
    """Each such message comes late, for a while."""

    async def strike(site: Site, fault: Fault) -> bool:
        return await _with_rule(site, fault, Rule(on, Delay(fault.pick * seconds_max), times=None))

    return strike


async def skew_clock(site: Site, fault: Fault) -> bool:
    """A process's clock jumps by up to a minute either way, and back after a while."""
    site.cluster.set_clock(fault.target, 120 * (fault.pick - 0.5))
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        site.cluster.set_clock(fault.target, 0.0)
    return True


def telegram_fault(kind: str, **order: object) -> Strike:
    """A fault that the local Telegram plays, for the methods and as often as the order says."""

    async def strike(site: Site, fault: Fault) -> bool:
        more = {**order, "seconds": fault.seconds} if fault.seconds else order
        try:
            await site.telegram.add_fault(kind, count=1 + int(fault.pick * 4), **more)  # type: ignore[arg-type]
        except (*NETWORK_ERRORS, ControlRefusedError):
            return False
        return True

    return strike


async def _with_rule(site: Site, fault: Fault, rule: Rule) -> bool:
    proxy = site.cluster.proxies[fault.target]
    placed = proxy.add(rule)
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        proxy.remove(placed)
    return placed.struck > 0


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


async def _freeze(processes: Sequence[psutil.Process], seconds: float) -> bool:
    stopped = [process for process in processes if _signal(process.pid, signal.SIGSTOP)]
    try:
        await asyncio.sleep(seconds if stopped else 0)
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()  # by pid and start time: the number may be somebody else's by now
    return bool(stopped)


_SENDS = ["sendMessage", "editMessageText"]
_STATEMENT = On(kind="Q")
_STATEMENT_DONE = On(Side.SERVER, kind="C")
_ANSWER_COMPLETE = On(Side.SERVER, kind="Z")
_ASKED = On()
_ANSWERED = On(Side.SERVER)
_WORKERS = ("main", "main", "second", "second", "light")

KINDS = {
    kind.name: kind
    for kind in (
        Kind("kill_worker", 6, _WORKERS, kill),
        Kind("kill_tree", 4, _WORKERS, kill_tree),
        Kind("kill_child", 6, _WORKERS, kill_child),
        Kind("kill_frontend", 5, ("frontend",), kill),
        Kind("kill_beat", 1, ("beat", "beat2"), kill),
        Kind("kill_redis", 3, ("redis",), kill),
        Kind("kill_postgres", 3, ("postgres",), kill),
        Kind("kill_telegram", 2, ("telegram",), kill),
        Kind("freeze", 5, (*_WORKERS, "frontend", "frontend", "beat"), freeze, 0.5, 6.0),
        Kind("freeze_tree", 5, _WORKERS, freeze_tree, 0.5, 6.0),
        Kind("freeze_child", 3, _WORKERS, freeze_child, 0.5, 6.0),
        Kind("freeze_redis", 2, ("redis",), freeze, 0.5, 6.0),
        Kind("freeze_postgres", 2, ("postgres",), freeze_tree, 0.5, 6.0),
        Kind("freeze_telegram", 1, ("telegram",), freeze, 0.5, 6.0),
        Kind("cut_redis_clients", 6, ("redis",), cut_redis_clients),
        Kind("terminate_backends", 4, ("postgres",), terminate_backends),
        Kind("sever", 6, ("postgres", "redis", "redis", "telegram"), sever),
        Kind("refuse", 2, ("postgres", "redis", "telegram"), refuse, 0.5, 5.0),
        Kind("statement_torn", 3, ("postgres",), on_the_wire(_STATEMENT, Cut(0.5)), 1.0, 3.0),
        Kind("outcome_unheard", 5, ("postgres",), on_the_wire(_STATEMENT_DONE, Cut()), 1.0, 3.0),
        Kind("database_silent", 2, ("postgres",), on_the_wire(_STATEMENT, Silence()), 1.0, 3.0),
        Kind("database_slow", 2, ("postgres",), slow_wire(_ANSWER_COMPLETE, 0.3), 1.0, 6.0),
        Kind("redis_torn", 3, ("redis",), on_the_wire(_ASKED, Cut(0.5)), 0.5, 1.0),
        Kind("redis_unheard", 4, ("redis",), on_the_wire(_ANSWERED, Cut()), 0.5, 1.0),
        Kind("redis_silent", 3, ("redis",), on_the_wire(_ASKED, Silence()), 0.5, 1.0),
        Kind("redis_slow", 2, ("redis",), slow_wire(_ANSWERED, 0.2), 1.0, 6.0),
        Kind("telegram_torn", 2, ("telegram",), on_the_wire(_ANSWERED, Cut(0.5)), 0.5, 2.0),
        Kind("skew_clock", 4, (*_WORKERS, "frontend", "beat"), skew_clock, 1.0, 8.0),
        Kind("telegram_reset_before", 2, ("telegram",), telegram_fault("reset", when="before")),
        Kind("telegram_reset_after", 2, ("telegram",), telegram_fault("reset", when="after", methods=_SENDS)),
        Kind(
            "telegram_reset_polls",
            1,
            ("telegram",),
            telegram_fault("reset", when="after", methods=["getUpdates"]),
        ),
        Kind("telegram_flood", 2, ("telegram",), telegram_fault("flood", retry_after=1, methods=_SENDS)),
        Kind("telegram_unavailable", 1, ("telegram",), telegram_fault("unavailable")),
        Kind("telegram_latency", 2, ("telegram",), telegram_fault("latency"), 0.2, 3.0),
    )
}
