"""What pages are sent as it changes: whole at first, then what changed; bounded, cut off where nobody takes it, and
ended with the frontend.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bot_frontend.web import live, server
from dbcore.settings import Settings
from devstack.stack import TOKEN
from tests.bot_frontend.test_page import BEARER, OPS_TOKEN, sign_in
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing

WAIT_SECONDS_MAX = 20


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str) -> Settings:
    return make_settings(redis_url=redis_url, telegram_bot_token=TOKEN, ops_token=OPS_TOKEN)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    bound = aiohttp.ClientTimeout(total=None, sock_read=WAIT_SECONDS_MAX)
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=bound) as session:
        yield session


async def event(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next one's data."""
    async for line in answer.content:
        if line.startswith(b"data: "):
            parts: dict[str, Any] = json.loads(line[6:])
            return parts
    raise AssertionError("the stream ended")


async def test_the_first_event_is_whole_and_later_ones_have_what_changed(
    settings: Settings, queueing: Queueing, http: aiohttp.ClientSession
) -> None:
    async with serving(settings, queueing) as url:
        async with http.get(f"{url}/status.json", headers=BEARER) as answer:
            whole = await answer.json()
        async with http.get(f"{url}/status/stream", headers=BEARER) as answer:
            assert answer.content_type == "text/event-stream"
            assert answer.headers["X-Accel-Buffering"] == "no"
            assert "no-store" in answer.headers["Cache-Control"]
            assert (await event(answer)).keys() == whole.keys()
            assert "outages" not in await event(answer)
            queueing.client.rpush("balances", "{}")
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                while "queues" not in (changed := await event(answer)):
                    assert "now" in changed
            assert [queue["length"] for queue in changed["queues"] if queue["name"] == "balances"] == [1]
            assert "actions" not in changed


async def test_a_stream_says_who_may_act_to_each_alone(
    settings: Settings, queueing: Queueing, http: aiohttp.ClientSession
) -> None:
    async with serving(settings, queueing) as url:
        async with http.get(f"{url}/status/stream") as answer:
            assert answer.status == 401
        await sign_in(http, url)
        async with (
            http.get(f"{url}/status/stream") as signed_in,
            aiohttp.ClientSession() as other,
            other.get(f"{url}/status/stream", headers=BEARER) as machine,
        ):
            assert (await event(signed_in))["actions"]["signed_in_as"] == "Ada"
            assert (await event(machine))["actions"]["signed_in_as"] is None


async def test_who_has_too_many_gets_what_is_shown_once_and_is_told_to_come_again(
    settings: Settings, queueing: Queueing, http: aiohttp.ClientSession
) -> None:
    async with serving(settings, queueing) as url:
        open_ones = [
            await http.get(f"{url}/outages/stream", headers=BEARER)
            for _ in range(live.STREAMS_MAX_PER_VIEWER)
        ]
        for answer in open_ones:
            await event(answer)
        async with http.get(f"{url}/status/stream", headers=BEARER) as answer:
            told = await answer.text()
        assert told.startswith(f"retry: {live.RETRY_MS}\ndata: {{")
        # Somebody else has a share of their own.
        await sign_in(http, url)
        async with http.get(f"{url}/outages/stream") as answer:
            await event(answer)
            await event(answer)
        open_ones.pop().close()
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while (
                await (await http.get(f"{url}/outages/stream", headers=BEARER)).content.readline()
            ).startswith(b"retry"):
                await asyncio.sleep(0.05)


async def test_all_together_have_no_more_streams_than_that(
    settings: Settings, queueing: Queueing, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STREAMS_MAX", 1)
    async with serving(settings, queueing) as url, http.get(f"{url}/status/stream", headers=BEARER) as answer:
        await event(answer)
        await sign_in(http, url)
        async with http.get(f"{url}/status/stream") as other:
            assert (await other.text()).startswith("retry: ")


async def test_a_stream_ends_after_a_while_so_that_who_signed_out_is_turned_away(
    settings: Settings, queueing: Queueing, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STREAM_SECONDS_MAX", 0.1)
    async with serving(settings, queueing) as url, http.get(f"{url}/status/stream", headers=BEARER) as answer:
        assert (await answer.text()).startswith("data: ")


async def test_streams_end_whole_when_the_frontend_stops(
    settings: Settings, queueing: Queueing, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SHUTDOWN_SECONDS_MAX", 10 * WAIT_SECONDS_MAX)
    async with asyncio.timeout(2 * WAIT_SECONDS_MAX):
        async with serving(settings, queueing) as url:
            answer = await http.get(f"{url}/status/stream", headers=BEARER)
            await event(answer)
        # Ended as whole answers end: aiohttp raises where the last chunk is missing.
        await answer.text()


async def test_a_reader_who_takes_nothing_is_cut_off(
    settings: Settings, queueing: Queueing, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "WRITING_SECONDS_MAX", 0.5)
    monkeypatch.setattr(live, "EVERY_SECONDS", 0.001)
    monkeypatch.setattr(live, "STREAMS_MAX", 1)
    much = "x" * 500_000
    monkeypatch.setattr(live.Feed, "parts", lambda _: {"much": f'"{time.monotonic()}{much}"'})

    async def is_full() -> bool:
        async with http.get(f"{url}/status/stream", headers=BEARER) as answer:
            return (await answer.content.readline()).startswith(b"retry: ")

    async with serving(settings, queueing) as url:
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.to_thread(reader.connect, ("127.0.0.1", int(url.rpartition(":")[2])))
            said = (
                f"GET /status/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {OPS_TOKEN}\r\n\r\n"
            )
            reader.sendall(said.encode())
            await asyncio.to_thread(reader.recv, 100)
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                while await is_full():
                    await asyncio.sleep(0.05)
