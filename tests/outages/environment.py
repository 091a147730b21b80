"""Ballast with four worker processes for the database's queues, on servers of its own, reaching PostgreSQL through the
proxy, which counts what is said.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from devstack.postgres import DATABASE
from devstack.proxy import FaultProxy, Message, Side
from devstack.stack import Stack
from tests.harness.servers import Servers

ADMIN_IDS = (1001, 1002)
FIRST_PROCESSES = 3


class Site:
    """Everything an outage happens to.

    sent -- unix time and SQL of each statement, and `login` for each login, as they passed the proxy.
    """

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.sent: list[tuple[float, str]] = []
        postgres = servers.postgres
        self.proxy = FaultProxy("127.0.0.1", postgres.port, login=postgres.login, on_message=self._note)

    @contextmanager
    def open(self, children: int = 2) -> Iterator[Stack]:
        """All processes run inside the `with` block. children -- of the second worker."""
        with ExitStack() as closing:
            closing.enter_context(self.proxy)
            stack = self.servers.stack()
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
