"""docs/import.md's handover, rehearsed: a bot that polls gives way to one with a webhook, and that one to
Ballast, while people write to it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from devstack.ports import free_port
from devstack.programs import Program
from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness.bots_database import SCHEMA
from tests.harness.people import all_settled, answers, assert_audit_passes, balances

PEOPLE = 2
PAUSE_SECONDS = 0.3
QUERY = "SELECT id AS telegram_id, balance FROM public.people"


@pytest.fixture
def database_url(bots_database_url: str) -> str:
    return bots_database_url


class Proxy:
    """What a webhook stands behind, such as nginx. Closed, it answers 503, and what it has passed on goes on."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/"
        self._closed = False
        self._passed_on = 0

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/", self._pass_on)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def close(self) -> None:
        self._closed = True
        while self._passed_on:
            await asyncio.sleep(0.01)

    async def _pass_on(self, request: web.Request) -> web.Response:
        if self._closed:
            return web.Response(status=503)
        self._passed_on += 1
        try:
            async with (
                aiohttp.ClientSession() as http,
                http.post(
                    self._url, data=await request.read(), headers={"Content-Type": "application/json"}
                ) as answer,
            ):
                return web.Response(status=answer.status)
        except aiohttp.ClientError:  # it is not up yet
            return web.Response(status=502)
        finally:
            self._passed_on -= 1


def bring(stack: Stack, *options: str) -> int:
    done = stack.command("ballast", "import", "--source", "old", "--query", QUERY, *options)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


async def test_every_command_during_the_handover_is_done_once(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack(BALLAST_APPS="tests.acceptance.handed_over", BALLAST_SCHEMA=SCHEMA)
    people = [(await telegram.create_user(f"Person {number}")).id for number in range(PEOPLE)]
    stack.query("CREATE TABLE public.people (id bigint PRIMARY KEY, balance numeric(12, 2) NOT NULL)")
    for person in people:
        stack.query("INSERT INTO public.people VALUES (%s, 7)", person)

    sent = dict.fromkeys(people, 0)
    done = asyncio.Event()

    async def write() -> None:
        while not done.is_set():
            for person in people:
                await telegram.send_text(person, "/earn")
                sent[person] += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def answered_by(bot: str) -> None:
        async with asyncio.timeout(60):
            while not any(text.startswith(bot) for text in await answers(telegram, people[-1])):
                await asyncio.sleep(0.05)

    port, public_port = free_port(), free_port()
    proxy = Proxy(port)

    def start(*how: str) -> None:
        old = [sys.executable, "-m", "tests.acceptance.handed_over", *how]
        stack.run("old", Program("old", old, stop_seconds=10))

    async with proxy.listening(public_port):
        writing = asyncio.create_task(write())
        try:
            start("Polling")
            await answered_by("Polling")
            await asyncio.to_thread(stack.stop, "old")
            start("Webhook", str(port), str(public_port))
            await answered_by("Webhook")
            await asyncio.to_thread(bring, stack)  # while the old bot goes on
            await proxy.close()
            await asyncio.to_thread(stack.stop, "old")
            assert await asyncio.to_thread(bring, stack, "--settle") == 0
            stack.start("frontend", "main")
            await answered_by("Ballast")
        finally:
            done.set()
            await writing
    await all_settled(stack, telegram)
    for person in people:
        said = await answers(telegram, person)
        assert len(said) == sent[person]
        assert {text.partition(":")[0] for text in said} == {"Polling", "Webhook", "Ballast"}
    assert balances(stack) == {person: 700 + 100 * sent[person] for person in people}
    assert_audit_passes(stack)
