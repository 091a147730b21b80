"""All of Ballast with the apps under test: the processes that `ballast run` starts, Flower apart."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from ballast.queueing.queues import WORKERS
from ballast.testing.database import Database
from ballast.testing.logged_warnings import LoggedWarnings
from ballast.testing.telegram import Telegram
from devstack.ports import free_port
from devstack.redis import EmbeddedRedis
from devstack.stack import Stack

SETTLED_WITHIN_SECONDS = 60.0


class Ballast:
    """Runs until the end of the test session, in the project's folder."""

    def __init__(
        self,
        folder: Path,
        *,
        project: Path,
        environment: Mapping[str, str],
        database: Database,
        telegram: Telegram,
    ) -> None:
        self.database = database
        self._telegram = telegram
        self._redis = EmbeddedRedis(folder / "redis", free_port())
        logs = folder / "log"
        logs.mkdir()
        self.warnings = LoggedWarnings(logs)
        self._stack = Stack(
            logs,
            database_url=database.url,
            redis_url=self._redis.url,
            telegram_url=telegram.url,
        )
        self._stack.current_folder = project
        self._stack.env.update(environment)

    def __enter__(self) -> Self:
        self._redis.start()
        self._stack.start("frontend", *WORKERS, "beat")
        try:
            self._wait_ready()
        except BaseException:
            self.__exit__()
            raise
        self.database.recovered = self._sees_the_database
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.stop_all()
        self._redis.stop()

    @property
    def url(self) -> str:
        """The frontend's: the operators' pages are there."""
        return f"http://127.0.0.1:{self._stack.ops_port}"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`ballast argument…`, in the surroundings of the processes."""
        return self._stack.command("ballast", *arguments)

    async def settle(self, *, within: float = SETTLED_WITHIN_SECONDS) -> None:
        """Wait until all that people said and pressed is done and answered. Jobs that are tried again later count."""
        await self._telegram.wait_until_acknowledged(within=within)
        await self._until(self._is_idle, "no job is left to be done", within)

    async def run_periodic(self, name: str, *, within: float = SETTLED_WITHIN_SECONDS) -> None:
        """Have a worker run a periodic function of an app once, by the function's name, and wait until that is done. If
        it is due meanwhile it also runs for its period. Raises AssertionError if there is none of that name.
        """
        __tracebackhide__ = True
        asked = await asyncio.to_thread(self.run, "jobs", "run", name)
        if asked.returncode != 0:
            raise AssertionError(asked.stdout + asked.stderr)
        await self.settle(within=within)

    async def audit(self) -> None:
        """`ballast audit`, with the checks of your apps. Raises AssertionError with its report if one fails."""
        __tracebackhide__ = True
        audited = await asyncio.to_thread(self.run, "audit")
        if audited.returncode != 0:
            raise AssertionError(audited.stdout + audited.stderr)

    async def kill_workers(self) -> None:
        """Kill all workers with SIGKILL, whatever they do, and start new ones."""
        self._kill_workers()
        await self._start_workers()

    @asynccontextmanager
    async def killed_after_commit(self) -> AsyncIterator[None]:
        """Send a command with `ctx.transact` inside the block. Once its transaction is committed, and before the worker
        hears of that, all workers are killed with SIGKILL, and new ones are started.
        """
        with self.database.commit_unanswered() as commit:
            yield
            await self._until(lambda: commit.struck > 0, "`ctx.transact` has committed")
            self._kill_workers()
        await self._start_workers()

    def _kill_workers(self) -> None:
        for name in WORKERS:
            self._stack.kill(name)

    async def _start_workers(self) -> None:
        # Not in another thread: a process's life hangs on the thread that starts it.
        self._stack.start(*WORKERS)
        await asyncio.to_thread(self._wait_ready)

    # How it is

    def _wait_ready(self) -> None:
        self._stack.wait_ready(processes=sum(processes for _, processes in WORKERS.values()))

    async def _sees_the_database(self) -> None:
        await self._until(self._stack.says_the_database_is_well, "Ballast knows that the database is back")

    def _is_idle(self) -> bool:
        # A job that has ended may have left others in the outbox, which go on record from there.
        return self._stack.is_idle() and not self._stack.query("SELECT FROM outbox") and self._stack.is_idle()

    async def _until(
        self, condition: Callable[[], bool], what: str, within: float = SETTLED_WITHIN_SECONDS
    ) -> None:
        __tracebackhide__ = True
        await asyncio.to_thread(self._stack.wait_until, condition, what, within)
