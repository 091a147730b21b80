"""Ballast with four worker processes for the database's queues, on servers of its own, reaching PostgreSQL through the
proxy, which counts what is said.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from dbcore.migrate import upgrade
from devstack.ports import free_port
from devstack.postgres import DATABASE, EmbeddedPostgres
from devstack.proxy import FaultProxy, Message, Side
from devstack.redis import EmbeddedRedis
from devstack.stack import TOKEN, Stack
from devstack.telegram.process import TelegramProcess

ADMIN_IDS = (1001, 1002)
FIRST_PROCESSES = 3


class Site:
    """Everything an outage happens to.

    sent -- unix time and SQL of each statement, and `login` for each login, as they passed the proxy.
    """

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o711)  # PostgreSQL runs as another user where we are root
        self.postgres = EmbeddedPostgres(folder / "postgres", free_port())
        self.redis = EmbeddedRedis(folder / "redis", free_port())
        self.telegram = TelegramProcess(folder / "telegram", free_port(), TOKEN, admin_ids=ADMIN_IDS)
        self.sent: list[tuple[float, str]] = []
        self.proxy = FaultProxy(
            "127.0.0.1", self.postgres.port, login=self.postgres.login, on_message=self._note
        )
        self._work = folder / "work"
        self._work.mkdir()

    @contextmanager
    def open(self, children: int = 2) -> Iterator[Stack]:
        """Everything runs inside the `with` block. children -- of the second worker."""
        with ExitStack() as closing:
            for server in (self.postgres, self.redis, self.telegram):
                server.start()
                closing.callback(server.stop)
            upgrade(self.postgres.url)
            closing.enter_context(self.proxy)
            stack = Stack(
                self._work,
                database_url=self.postgres.url,
                redis_url=self.redis.url,
                telegram_url=self.telegram.url,
                ADMIN_IDS=",".join(map(str, ADMIN_IDS)),
            )
            stack.env["DATABASE_URL"] = self.proxy.url_of(DATABASE)
            closing.callback(stack.stop_all)
            stack.start("frontend", "main", "light", "beat")
            second = stack.program("main", node="second")
            stack.run("second", replace(second, argv=[*second.argv[:-1], str(children)]))
            stack.wait_ready(processes=FIRST_PROCESSES + children)
            yield stack

    def _note(self, message: Message) -> None:
        if message.side is Side.CLIENT and message.kind in {"Q", "P", "Startup"}:
            self.sent.append((time.time(), message.statement if message.kind != "Startup" else "login"))
