"""The whole cluster as processes on its own durable servers, each started again the moment it ends.

A supervisor as a real one is, only without its patience: what dies comes back at once. Every kept program has a
thread of its own, because a program that dies with its parent lives as long as the thread that started it
(devstack/parent_death.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import psutil

from devstack import programs
from devstack.parent_death import tied_to_parent
from devstack.postgres import DATABASE
from devstack.programs import Program
from devstack.proxy import FaultProxy, Wire
from tests.harness import clusters
from tests.harness.clocks.sitecustomize import SECONDS as CLOCK_SECONDS
from tests.harness.servers import Servers

ADMIN_IDS = (1001, 1002, 1003)
WORKERS = ("main", "second", "light")
SERVERS = ("postgres", "redis", "telegram")
STOP_ORDER = ("beat", "beat2", "frontend", *WORKERS, "telegram", "redis", "postgres")
CLOCKS = Path(__file__).with_name("clocks")

# A program that cannot start yet (PostgreSQL, while backends of the last one hold its memory) is tried so often.
RESTART_PAUSE_SECONDS = 0.1
READY_SECONDS_MAX = 120.0
GONE_SECONDS_MAX = 30.0


class Kept:
    """One program, from `start` to `stop`; in between its process may be a new one at any moment."""

    def __init__(self, program: Program, *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self.program = program
        self.starts = 0
        self._env = dict(env)
        self._cwd = cwd
        self._log = log
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name=f"keeper-{program.name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """None in the moments between an end and the next start."""
        with self._lock:
            process = self._process
            return process.pid if process is not None and process.returncode is None else None

    def start(self) -> None:
        self._thread.start()

    def abandon(self) -> None:
        """Do not start it again when it ends."""
        self._ending.set()

    def stop(self) -> None:
        """In good order, by the program's own stop signal; killed where that takes too long."""
        self._ending.set()
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, self.program.stop_signal)
        self._thread.join(self.program.stop_seconds)
        if self._thread.is_alive():
            pid = self.pid
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._thread.join()

    def _keep(self) -> None:
        while not self._ending.is_set():
            command = tied_to_parent(
                self.program.argv,
                user=self.program.user,
                death_signal=self.program.death_signal,
                parent=os.getpid(),
            )
            with self._log.open("ab") as log, self._lock:
                self._process = subprocess.Popen(
                    command,
                    env={**self._env, **self.program.env},
                    cwd=self._cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
                self.starts += 1
                if self._ending.is_set():  # told to stop while it was starting
                    self._process.kill()
            self._process.wait()
            self._ending.wait(RESTART_PAUSE_SECONDS)


class Cluster:
    """Open it, strike it, close it. `folder` holds everything: data and logs.

    parts -- the programs beside the servers, a subset of STOP_ORDER. `second` is a second `main` worker.
    proxied -- Ballast's processes reach the servers through `proxies`, which can cut, delay and silence; what looks at
        them from outside does so directly.
    webhook -- updates come by webhook, not by polling.
    options -- settings for every process, such as HEALTH_PROBE_SECONDS="1".
    """

    def __init__(
        self,
        folder: Path,
        *,
        parts: Iterable[str] = STOP_ORDER,
        proxied: bool = False,
        webhook: bool = False,
        **options: str,
    ) -> None:
        self.folder = folder
        self.servers = Servers(folder, admin_ids=ADMIN_IDS)
        self.stack = self.servers.stack(**options)
        if webhook:
            self.stack.env["TELEGRAM_WEBHOOK_URL"] = f"http://127.0.0.1:{self.stack.ops_port}/telegram"
        self.proxies: dict[str, FaultProxy] = {}
        if proxied:
            self._put_proxies_between()
        self._parts = [name for name in STOP_ORDER if name in set(parts) and name not in SERVERS]
        self._kept: dict[str, Kept] = {}

    def open(self) -> None:
        """Start the servers, make the schema, start the rest, and return when jobs can be taken and done."""
        servers = self.servers
        servers.postgres.prepare()
        servers.redis.prepare()
        self._keep("postgres", programs.postgres(servers.postgres.command()), cwd=Path("/"))
        self._keep("redis", programs.redis(servers.redis.command()), cwd=Path("/"))
        telegram = servers.telegram.command()
        self._keep("telegram", Program("telegram", telegram.argv, stop_seconds=10, env=telegram.env))
        self.wait_until(servers.accept, "the servers accept connections")
        clusters.migrate(servers.postgres)
        for name in self._parts:
            self._keep(name, self._program(name))
        count = 2 * len({"main", "second"} & set(self._parts)) + ("light" in self._parts)
        self.stack.wait_ready(processes=count)

    def close(self) -> list[str]:
        """Stop everything in order. Returns what was still running after that, which should be nothing."""
        for name in STOP_ORDER:
            if name in self._kept:
                self._kept.pop(name).stop()
        for proxy in self.proxies.values():
            proxy.stop()
        return self._leftovers()

    def set_clock(self, name: str, seconds: float) -> None:
        """Have the clock of a program and its children be off by so much, from now on."""
        with self._clock(name).open("r+b") as file:
            file.write(CLOCK_SECONDS.pack(seconds))

    def wait_until(
        self, condition: Callable[[], bool], what: str, seconds_max: float = READY_SECONDS_MAX
    ) -> None:
        self.stack.wait_until(condition, what, seconds_max)

    def starts(self) -> dict[str, int]:
        """How often each program was started."""
        return {name: kept.starts for name, kept in self._kept.items()}

    def pid(self, name: str) -> int | None:
        return self._kept[name].pid

    def tree(self, name: str) -> list[psutil.Process]:
        """A program's process and all below it, itself first; empty while it is down."""
        pid = self.pid(name)
        if pid is None:
            return []
        try:
            head = psutil.Process(pid)
            return [head, *head.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _put_proxies_between(self) -> None:
        postgres, store, telegram = self.servers.postgres, self.servers.redis, self.servers.telegram
        self.proxies = {
            "postgres": FaultProxy("127.0.0.1", postgres.port, login=postgres.login),
            "redis": FaultProxy("127.0.0.1", store.port, wire=Wire.BYTES, login=store.login),
            "telegram": FaultProxy("127.0.0.1", telegram.port, wire=Wire.BYTES),
        }
        for proxy in self.proxies.values():
            proxy.start()
        self.stack.env |= {
            "DATABASE_URL": self.proxies["postgres"].url_of(DATABASE),
            "REDIS_URL": f"{self.proxies['redis'].url}/0",
            "TELEGRAM_API_URL": f"http://127.0.0.1:{self.proxies['telegram'].port}",
        }

    def _clock(self, name: str) -> Path:
        return self.folder / f"{name}.clock"

    def _env(self, name: str) -> dict[str, str]:
        if name in SERVERS:
            return dict(os.environ)
        self._clock(name).write_bytes(CLOCK_SECONDS.pack(0.0))
        path = os.pathsep.join([str(CLOCKS), self.stack.env["PYTHONPATH"]])
        return {**self.stack.env, "PYTHONPATH": path, "CHAOS_CLOCK": str(self._clock(name))}

    def _keep(self, name: str, program: Program, cwd: Path | None = None) -> None:
        env = self._env(name)
        kept = Kept(program, env=env, cwd=cwd or self.stack.folder, log=self.stack.folder / f"{name}.log")
        self._kept[name] = kept
        kept.start()

    def _program(self, name: str) -> Program:
        if name == "second":
            return self.stack.program("main", node="second")
        if name.startswith("beat"):
            schedule = self.folder / name
            schedule.mkdir()
            return replace(programs.beat(schedule), name=name)
        return self.stack.program(name)

    def _leftovers(self) -> list[str]:
        deadline = time.monotonic() + GONE_SECONDS_MAX
        while (left := self._alive()) and time.monotonic() < deadline:
            time.sleep(RESTART_PAUSE_SECONDS)
        return left

    def _alive(self) -> list[str]:
        """Every process of the machine that works in our folder or names it: also one whose parent died."""
        mark = str(self.folder)
        found = []
        for process in psutil.process_iter(["pid", "name", "cmdline", "cwd", "status"]):
            seen = process.info
            if seen["pid"] == os.getpid() or seen["status"] == psutil.STATUS_ZOMBIE:
                continue
            if mark in (seen["cwd"] or "") or any(mark in part for part in seen["cmdline"] or ()):
                found.append(f"{seen['pid']} {' '.join(seen['cmdline'] or [seen['name']])[:120]}")
        return found
