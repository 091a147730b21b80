"""Commands a second, end to end: from the update at Telegram to the answer at Telegram, beside peers in the same run.

Each command is somebody else's. All lie ready at the Bot API before what polls is let go, so what is measured is the
bot and x"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis

from benchmarks import limit
from benchmarks.bot_api import BotApi
from benchmarks.cores import Cores
from devstack.ports import free_port
from devstack.programs import Program
from devstack.stack import ROOT, TOKEN, Stack
from tests.harness.servers import running_servers

FIRST = 10_001
PACE, PACED = 50, 1_000
"""Commands per second for the latency, and how many of them: p99 is the tenth slowest."""

SECONDS_MAX = 300.0
QUIET_SECONDS = 1.0
LOOK_EVERY_SECONDS = 0.02
SIDES = ("naive", "ballast", "without_inbox")
PEER = {"workers": "benchmarks.without_inbox", "bot_frontend": "benchmarks.without_inbox"}
"""Where the peer's processes differ: the Celery application and the frontend's module."""


def run(commands: int, rounds: int = 3) -> dict[str, Any]:
    """Measure `/balance` (a read) and Confirm under a /credit (a ledger write), by Ballast and by its peers in turns.

    commands -- of each in each round, each of another person.
    rounds -- how often each side has its turn; what else the machine does hits all alike. The medians are told.
    """
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(rounds):
        for side in SIDES:
            with servers() as (folder, database_url, redis_url), BotApi(free_port()) as api:
                found[side].append(Side(side, folder, database_url, redis_url, api, commands).measure())
        with servers() as (folder, database_url, redis_url):
            found["noop"].append({"per_second": _noop(folder, redis_url, commands)})
            found["limit"].append(limit.run(database_url, redis_url, commands))
    medians = {
        side: {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]}
        for side, rows in found.items()
    }
    return {"commands": commands, "rounds": rounds, **medians}


@contextmanager
def servers() -> Iterator[tuple[Path, str, str]]:
    with running_servers(telegram=False) as running:
        yield running.folder, running.postgres.url, running.redis.url


class Side:
    """One of the bots, on servers and processes of its own."""

    def __init__(
        self, side: str, folder: Path, database_url: str, redis_url: str, api: BotApi, commands: int
    ) -> None:
        self._side, self._api, self._commands = side, api, commands
        self.people = (FIRST, FIRST + commands - 1)
        admins = range(FIRST, FIRST + commands)
        self.stack = Stack(
            folder,
            database_url=database_url,
            redis_url=redis_url,
            telegram_url=api.url,
            ADMIN_IDS=",".join(map(str, admins)),
            FLOWER_PORT=str(free_port()),
            FLOWER_BASIC_AUTH="bench:bench-bench-bench",
        )
        self._naive: subprocess.Popen[bytes] | None = None

    def measure(self) -> dict[str, float]:
        try:
            self.start()
            people = self.people
            self.burst(people, text="/start")
            self.quiet()
            found = dict(zip(("balance", "balance_cpu_ms"), self.burst(people, text="/balance"), strict=True))
            self.burst(people, text="/credit {next} 1")
            found |= zip(("credit", "credit_cpu_ms"), self.burst(people, press=True), strict=True)
            if self._side != "without_inbox":
                some = (FIRST, FIRST + min(PACED, self._commands) - 1)
                self.burst(some, text="/credit {next} 1")
                self.quiet()
                found |= self.latency("balance", some, text="/balance")
                self.burst(some, text="/credit {next} 1")
                self.quiet()
                found |= self.latency("credit", some, press=True)
            return found
        finally:
            self.stop()

    def stop(self) -> None:
        self.stack.stop_all()
        if self._naive is not None:
            self._naive.kill()
            self._naive.wait()

    def start(self, *, processes: int = 3, **others: Program) -> None:
        """processes -- of workers, until which it waits.
        others -- in place of the programs of these names.
        """
        if self._side == "naive":
            with (self.stack.folder / "naive.log").open("ab") as log:
                self._naive = subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.naive_bot"],
                    env={**self.stack.env, "PYTHONWARNINGS": "ignore"},
                    stdout=log,
                    stderr=log,
                )
            return
        for name in ("frontend", "main", "light", "beat", "flower"):
            program = others.get(name) or self.stack.program(name)
            if self._side == "without_inbox":
                program = replace(program, argv=[PEER.get(part, part) for part in program.argv])
            self.stack.run(name, program)
        self.stack.wait_ready(processes=processes)

    def _poller(self) -> int:
        return self._naive.pid if self._naive is not None else self.stack.pid("frontend")

    def _pids(self) -> list[int]:
        if self._naive is not None:
            return [self._naive.pid]
        return [self.stack.pid(name) for name in ("frontend", "main", "light", "beat", "flower")]

    def ask(self, **order: Any) -> None:
        """Of everybody, whoever still waits for an answer to something else."""
        self._api.ask(self.people, **order)

    def taken(self) -> int:
        """Messages that the Bot API got from the bot until now."""
        return int(self._api.state()["taken"])

    def has_sent(self, messages: int) -> bool:
        """Whether the bot has sent so many until now."""
        return self.taken() >= messages

    def burst(self, people: tuple[int, int], **order: Any) -> tuple[float, float]:
        """How many a second were answered, and the CPU time that each took of the bot's processes, in ms."""
        os.kill(self._poller(), signal.SIGSTOP)
        self._api.ask(people, **order)
        cores = Cores({"bot": self._pids()})
        os.kill(self._poller(), signal.SIGCONT)
        began = time.perf_counter()
        self._wait()
        seconds = time.perf_counter() - began
        count = people[1] - people[0] + 1
        return count / seconds, 1000 * cores.busy()["bot"] * seconds / count

    def latency(self, name: str, people: tuple[int, int], **order: Any) -> dict[str, float]:
        os.sync()  # what the start and bursts wrote, or writing it back holds up everybody's fsync for 0.2 s
        self._api.state()
        self._api.ask(people, per_second=PACE, **order)
        latencies = self._wait()
        percent = statistics.quantiles(latencies, n=100)
        return {f"{name}_p50_ms": 1000 * percent[49], f"{name}_p99_ms": 1000 * percent[98]}

    def _wait(self) -> list[float]:
        """Until nobody waits. Returns how long each has waited."""
        latencies: list[float] = []
        until = time.monotonic() + SECONDS_MAX
        while True:
            state = self._api.state()
            latencies += state["latencies"]
            if not state["waiting"]:
                return latencies
            if time.monotonic() > until:
                logs = "\n".join(path.read_text()[-2000:] for path in self.stack.folder.glob("*.log"))
                raise TimeoutError(f"{state['waiting']} answers are missing\n{logs}")
            time.sleep(LOOK_EVERY_SECONDS)

    def quiet(self) -> None:
        """Until nothing else is asked for, such as the command menus of admins."""
        before = -1
        while (now := self._api.state()["other"]) != before:
            before = now
            time.sleep(QUIET_SECONDS)


def _noop(folder: Path, redis_url: str, tasks: int) -> float:
    """Stock Celery's tasks a second, taken from a queue in which they wait."""
    env = {**os.environ, "REDIS_URL": redis_url, "PYTHONPATH": str(ROOT), "TELEGRAM_BOT_TOKEN": TOKEN}
    argv = [sys.executable, "-m", "celery", "-A", "benchmarks.noop", "worker", "--concurrency", "2"]
    with (folder / "noop.log").open("ab") as log, redis.Redis.from_url(redis_url) as client:
        worker = subprocess.Popen(argv, env=env, stdout=log, stderr=log, cwd=folder)
        try:
            _publish(env, 1)
            _drained(client)
            worker.send_signal(signal.SIGSTOP)
            _publish(env, tasks)
            began = time.perf_counter()
            worker.send_signal(signal.SIGCONT)
            _drained(client)
            return tasks / (time.perf_counter() - began)
        finally:
            worker.terminate()
            worker.wait()


def _publish(env: dict[str, str], count: int) -> None:
    code = f"from benchmarks.noop import noop\nfor number in range({count}): noop.delay(number)"
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


def _drained(client: redis.Redis) -> None:
    until = time.monotonic() + SECONDS_MAX
    while client.llen("celery") or client.hlen("unacked"):
        if time.monotonic() > until:
            raise TimeoutError("stock Celery did not do its tasks")
        time.sleep(LOOK_EVERY_SECONDS)
