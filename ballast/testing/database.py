"""A PostgreSQL of the tests' own that can fail on order."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

from devstack.ports import free_port
from devstack.postgres import DATABASE, EmbeddedPostgres, query
from devstack.proxy import FaultProxy, On, Placed, Rule, Side, Silence, frozen_server
from devstack.stack import StackError

# In the message that carries COMMIT of `transact`, with or without a schema's name.
_COMMIT_OF_TRANSACT = "effects (key, name, result)"


async def _nothing() -> None:
    pass


class Database:
    """With Ballast's tables, and those of your apps. One for all tests: give each of them people and keys of its own.

    Each fault below ends with its block, and is over for Ballast too when the block is left.
    """

    def __init__(self, folder: Path, *, project: Path, environment: Mapping[str, str]) -> None:
        self._project = project
        self._environment = environment
        # Without fsync: a test cuts no power, and what kills PostgreSQL's processes loses nothing by it.
        self._server = EmbeddedPostgres(folder / "postgres", free_port(), durable=False)
        self.recovered: Callable[[], Awaitable[None]] = _nothing
        """Awaited when a fault is over."""

    def __enter__(self) -> Self:
        self._server.start()
        self._proxy = FaultProxy("127.0.0.1", self._server.port, login=self._server.login)
        self._proxy.start()
        try:
            self._migrate()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self._proxy.stop()
        self._server.stop()

    @property
    def url(self) -> str:
        """DATABASE_URL of whoever is to meet the faults."""
        return self._proxy.url_of(DATABASE)

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement on the server itself, and return its rows. Parameters are psycopg2's: %s."""
        return query(self._server.url, statement, *parameters)

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """Inside the block it takes connections and answers nothing, as if its disk hung."""
        pid = self._server.pid
        assert pid is not None  # noqa: S101  it runs from __enter__ to __exit__
        try:
            with frozen_server(pid):
                yield
        finally:
            await self.recovered()

    @asynccontextmanager
    async def stopped(self) -> AsyncIterator[None]:
        """Inside the block it is killed, and refuses connections."""
        self._server.kill()
        try:
            yield
        finally:
            # Not in another thread: the server's life hangs on the thread that starts it.
            self._server.start()
            await self.recovered()

    @asynccontextmanager
    async def read_only(self) -> AsyncIterator[None]:
        """Inside the block it refuses writes, as a full or a demoted one does."""
        admin = self._server.admin_url_of(DATABASE)
        query(admin, "ALTER SYSTEM SET default_transaction_read_only = on")
        query(admin, "SELECT pg_reload_conf()")
        try:
            yield
        finally:
            query(admin, "ALTER SYSTEM RESET default_transaction_read_only")
            query(admin, "SELECT pg_reload_conf()")
            await self.recovered()

    def _migrate(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "ballast", "migrate"],
            env={**self._environment, "DATABASE_URL": self._server.url},
            cwd=self._project,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StackError(f"`ballast migrate` failed:\n{done.stdout}{done.stderr}")

    @contextmanager
    def commit_unanswered(self) -> Iterator[Placed]:
        """Inside the block the next COMMIT of `transact` is done, and its answer lost with all that follows on its
        connection. `struck` of what the block gets is 1 then. At its end all connections are cut.
        """
        placed = self._proxy.add(Rule(On(Side.SERVER, kind="C", statement=_COMMIT_OF_TRANSACT), Silence()))
        try:
            yield placed
        finally:
            self._proxy.remove(placed)
            self._proxy.sever()
