"""Ballast as processes, the very ones that `make run` starts, against a local Telegram."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis

from devstack import programs
from devstack.parent_death import tied_to_parent
from devstack.ports import free_port
from devstack.postgres import query
from devstack.programs import Program

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "123456:LOCAL"
ADMIN_ID = 1001
READY_SECONDS_MAX = 90.0
LOOK_EVERY_SECONDS = 0.05


class StackError(AssertionError):
    """A process ended, or what was waited for did not come; ends with what the logs say."""


class Stack:
    """Starts, kills and stops the processes by name, and knows their addresses."""

    def __init__(
        self, folder: Path, *, database_url: str, redis_url: str, telegram_url: str, **options: str
    ) -> None:
        self.folder = folder
        self.current_folder = folder
        """Of the processes."""
        self.database_url = database_url
        self.redis = redis.Redis.from_url(redis_url)
        self.ops_port = free_port()
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "TELEGRAM_API_URL": telegram_url,
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "ADMIN_IDS": str(ADMIN_ID),
            "OPS_PORT": str(self.ops_port),
            **options,
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *names: str) -> None:
        """Start `frontend`, `main`, `light` or `beat`; `wait_ready` waits for them."""
        for name in names:
            self.run(name, self.program(name))

    def run(self, name: str, program: Program) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                tied_to_parent(program.argv, death_signal=program.death_signal, parent=os.getpid()),
                env={**self.env, **program.env},
                cwd=self.current_folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def program(self, name: str, *, node: str | None = None) -> Program:
        """How a process is started. `node` gives a second worker of a kind a name of its own."""
        match name:
            case "frontend":
                return programs.frontend()
            case "beat":
                return programs.beat(self.folder)
            case "flower":
                return programs.flower(self.folder, port=int(self.env["FLOWER_PORT"]))
            case _:
                worker = programs.worker(name)
                argv = [f"{node}@%h" if node and part == f"{name}@%h" else part for part in worker.argv]
                return replace(worker, argv=argv)

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def names(self) -> set[str]:
        """Of what was started, and neither killed nor stopped."""
        return set(self._running)

    def alive(self, name: str) -> bool:
        return name in self._running and self._running[name].poll() is None

    def kill(self, name: str) -> None:
        """kill -9, and wait until it is gone."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def send_signal(self, name: str, number: signal.Signals) -> None:
        self._running[name].send_signal(number)

    def stop(self, name: str) -> int:
        """SIGTERM; returns the exit status."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            return process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def stop_all(self) -> None:
        for name in list(self._running):
            process = self._running.pop(name)
            process.kill()
            process.wait()

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # What it says and holds

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON of one of the frontend's pages, asked for with OPS_TOKEN where there is one."""
        token = self.env.get("OPS_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        asked = urllib.request.Request(f"http://127.0.0.1:{self.ops_port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def wait_ready(self, *, processes: int) -> None:
        """Until the frontend can take jobs and `processes` worker processes beat."""

        def ready() -> bool:
            for name in list(self._running):
                if not self.alive(name):
                    raise StackError(f"{name} ended:\n{self.log(name)[-3000:]}")
            try:
                status, health = self.get("/health")
            except (urllib.error.URLError, OSError):
                return False
            return status == 200 and (health["workers"]["alive"] or 0) >= processes

        self.wait_until(ready, "the frontend and the workers are ready")

    def wait_until(
        self, condition: Callable[[], bool], what: str, seconds_max: float = READY_SECONDS_MAX
    ) -> None:
        deadline = time.monotonic() + seconds_max
        while not condition():
            if time.monotonic() > deadline:
                tails = "\n".join(
                    f"== {path.name}\n{path.read_text()[-1500:]}" for path in self.folder.glob("*.log")
                )
                raise StackError(f"not within {seconds_max:.0f} s: {what}\n{tails}")
            time.sleep(LOOK_EVERY_SECONDS)

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of a statement on the database itself, past everything of Ballast. Its names are Ballast's tables."""
        return query(
            self.database_url, statement, *parameters, schema=self.env.get("BALLAST_SCHEMA", "public")
        )

    def is_idle(self) -> bool:
        """No job is on record. An update that is not acknowledged yet may make one."""
        return self.redis.zcard("ballast:inbox:all") == 0

    def says_the_database_is_well(self) -> bool:
        return bool(self.get("/db-status")[1]["state"] == "ok")

    def audit(self) -> subprocess.CompletedProcess[str]:
        return self.command("dbcore", "audit")

    def command(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python -m module argument…`, in the same surroundings as the processes."""
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=self.env,
            cwd=self.current_folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
