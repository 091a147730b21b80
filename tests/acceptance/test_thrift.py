"""A database that is paid for by the hour awake: an idle Ballast lets it sleep."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from devstack.proxy import FaultProxy
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness.logins import login_of
from tests.harness.people import all_settled, register, say

PROBES_WAITED_FOR = 20
"""Twenty minutes of a probe a minute, here of one a second."""


async def test_an_idle_thrifty_ballast_opens_no_session_and_sends_no_statement(
    make_stack: MakeStack, telegram: TelegramControl, database_url: str
) -> None:
    server = urlsplit(database_url)
    assert server.hostname is not None
    assert server.port is not None
    with FaultProxy(server.hostname, server.port, login=login_of(database_url)) as proxy:
        stack = make_stack(
            database_url=proxy.url_of(server.path.lstrip("/")),
            HEALTH_PROBE_MODE="thrifty",
            HEALTH_PROBE_SECONDS="1",
        )
        stack.start("frontend", "main", "bulk", "light", "beat")
        stack.wait_ready(processes=4)
        (alice,) = await register(telegram, "Alice")
        await all_settled(stack, telegram)

        def probed_by(how: str) -> bool:
            probe = stack.get("/db-status")[1]["probe"]
            return probe is not None and probe["by"] == how

        # What is to be tended is, once, while it is awake; that is traffic too.
        await asyncio.to_thread(stack.wait_until, lambda: probed_by("traffic"), "the traffic is noticed")
        await asyncio.to_thread(stack.wait_until, lambda: probed_by("tcp"), "the traffic is over")
        proxy.forget()

        def looked() -> bool:
            return proxy.connections >= PROBES_WAITED_FOR

        await asyncio.to_thread(stack.wait_until, looked, "it was looked at so often", 300)
        said = proxy.messages()
        sessions = [message for message in said if message.kind == "Startup"]
        statements = [message.statement for message in said if message.kind in {"Q", "P"}]
        print(f"\n{proxy.connections} looks, {len(sessions)} sessions, {len(statements)} statements")
        assert (sessions, statements, said) == ([], [], [])
        assert stack.get("/db-status")[1]["state"] == "reachable"
        assert stack.get("/health")[1]["status"] == "ok"
        await say(telegram, alice, "/balance")
        await asyncio.to_thread(stack.wait_until, lambda: probed_by("traffic"), "traffic counts as the probe")
        assert stack.get("/db-status")[1]["state"] == "ok"
