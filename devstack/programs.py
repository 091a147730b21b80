"""The processes of `make run`, each as a supervisor must know it."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ballast.queueing.queues import WORKERS
from devstack.embedded import Command


@dataclass(frozen=True)
class Program:
    """One process to keep alive. `env` is added to the environment; `user` is None to stay who we are.

    `death_signal` is for the case that the supervisor itself is gone: then nobody waits any more, and jobs
    survive anything, so all but PostgreSQL are killed.
    """

    name: str
    argv: list[str]
    stop_seconds: int
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    user: str | None = None
    env: dict[str, str] = field(default_factory=dict)


def postgres(command: Command) -> Program:
    """SIGINT is PostgreSQL's "fast" shutdown: it ends sessions and writes a checkpoint."""
    return Program(
        "postgres",
        command.argv,
        stop_seconds=30,
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGINT,
        user=command.user,
        env=command.env,
    )


def redis(command: Command) -> Program:
    return Program("redis", command.argv, stop_seconds=15, user=command.user, env=command.env)


def telegram(*, port: int, data: Path) -> Program:
    """Its bot's token comes by TELEGRAM_BOT_TOKEN in the environment: arguments are for everybody to see."""
    argv = [sys.executable, "-m", "devstack.telegram", "--port", str(port), "--data", str(data)]
    return Program("telegram", argv, stop_seconds=10)


def frontend() -> Program:
    return Program("frontend", [sys.executable, "-m", "bot_frontend"], stop_seconds=15)


def worker(name: str) -> Program:
    """SIGTERM is Celery's warm shutdown: the jobs at hand are finished. What takes longer runs again
    later.
    """
    queues, concurrency = WORKERS[name]
    argv = [*_celery("worker"), "-n", f"{name}@%h", "-Q", queues, "--concurrency", str(concurrency)]
    return Program(f"worker-{name}", argv, stop_seconds=20)


def beat(folder: Path) -> Program:
    return Program("beat", [*_celery("beat"), "-s", str(folder / "schedule")], stop_seconds=10)


def flower(folder: Path, *, port: int, address: str = "127.0.0.1") -> Program:
    """Its password comes by FLOWER_BASIC_AUTH in the environment: arguments are for everybody to see. What it saw of
    tasks is kept in `folder`, saved each minute.
    """
    listens = [f"--address={address}", f"--port={port}"]
    keeps = ["--persistent=True", "--state_save_interval=60000", f"--db={folder / 'flower'}"]
    return Program("flower", [*_celery("flower"), *listens, *keeps], stop_seconds=10)


def _celery(command: str) -> list[str]:
    # Not the script `celery`: its first line cannot name a Python on a path with spaces.
    return [sys.executable, "-m", "celery", "-A", "workers", command]
