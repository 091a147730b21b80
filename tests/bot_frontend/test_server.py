"""The frontend's server under those who connect and say nothing, and what it says of itself."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import pytest
import structlog.testing

from bot_frontend.web import server
from bot_frontend.web.server import AcceptErrors
from dbcore.settings import Settings
from devstack.stack import TOKEN
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing

HALF_A_REQUEST = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
HALF_A_BODY = b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\ntok"
PAGES = [
    "/",
    "/health",
    "/health/live",
    "/metrics",
    "/openapi.json",
    "/static/status.css",
    "/nowhere",
    "/sign-in",
]


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str) -> Settings:
    return make_settings(redis_url=redis_url, telegram_bot_token=TOKEN, ops_token="0123456789abcdef")


async def connected(url: str, said: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(said)
    await writer.drain()
    return reader, writer


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """Waits for it."""
    try:
        while await reader.read(1000):
            pass
    except ConnectionResetError:
        pass
    return True


async def live(url: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/health/live") as answer:
        return answer.status


@pytest.mark.parametrize(
    "said", [b"", HALF_A_REQUEST, HALF_A_BODY, b"GET /health/live HTTP/1.1\r\nHost: h\r\n\r\nGET"]
)
async def test_a_request_that_never_ends_is_cut_off(
    said: bytes, settings: Settings, queueing: Queueing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADERS_SECONDS_MAX", 0.3)
    monkeypatch.setattr(server, "BODY_SECONDS_MAX", 0.3)
    async with serving(settings, queueing) as url:
        reader, writer = await connected(url, said)
        async with asyncio.timeout(20):
            assert await is_closed(reader)
        writer.close()
        assert await live(url) == 200


async def test_half_open_connections_keep_nobody_out(
    settings: Settings, queueing: Queueing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "connections_max", lambda: 20)
    async with serving(settings, queueing) as url:
        half_open = [await connected(url, HALF_A_REQUEST) for _ in range(60)]
        assert await live(url) == 200
        async with asyncio.timeout(20):
            await asyncio.wait(
                [asyncio.create_task(is_closed(reader)) for reader, _ in half_open],
                return_when=asyncio.FIRST_COMPLETED,
            )
        for _, writer in half_open:
            writer.close()


async def test_a_slow_but_honest_request_is_answered(settings: Settings, queueing: Queueing) -> None:
    async with serving(settings, queueing) as url:
        reader, writer = await connected(url, HALF_A_REQUEST)
        await live(url)
        writer.write(b"Connection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()


def test_failed_accepts_are_told_once_in_a_while_and_other_errors_always(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(AcceptErrors())
    with structlog.testing.capture_logs() as logs, caplog.at_level(logging.ERROR):
        for _ in range(10_000):
            loop.call_exception_handler(
                {
                    "message": "socket.accept() out of system resource",
                    "exception": OSError(24, "Too many open files"),
                }
            )
        loop.call_exception_handler({"message": "Task exception was never retrieved"})
    loop.close()
    assert [line["event"] for line in logs] == ["connection_not_accepted"]
    assert [record.getMessage() for record in caplog.records] == ["Task exception was never retrieved"]


async def test_every_answer_has_the_safe_headers_and_does_not_name_the_server(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        for page in PAGES:
            for headers in ({}, {"X-Forwarded-Proto": "https"}):
                async with http.get(url + page, headers=headers, allow_redirects=False) as answer:
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
                    assert "Server" not in answer.headers
                    assert ("Strict-Transport-Security" in answer.headers) is bool(headers)


@pytest.mark.parametrize("path", ["/health/", "/static", "/metrics/"])
async def test_nobody_is_redirected_to_the_name_they_asked_for(
    path: str, settings: Settings, queueing: Queueing
) -> None:
    async with (
        serving(settings, queueing) as url,
        aiohttp.ClientSession() as http,
        http.get(url + path, headers={"Host": "evil.example"}, allow_redirects=False) as answer,
    ):
        assert answer.status == 404
        assert "Location" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "192.0.2.1"},
        {"Forwarded": "for=192.0.2.1"},
        {"Via": "1.1 proxy"},
        {"X-Real-IP": "192.0.2.1"},
        {"CF-Connecting-IP": "192.0.2.1"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
    ],
)
async def test_without_a_token_details_are_for_who_asks_on_this_host(
    headers: dict[str, str], make_settings: MakeSettings, redis_url: str, queueing: Queueing
) -> None:
    settings = make_settings(redis_url=redis_url, telegram_bot_token=TOKEN)
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        async with http.get(f"{url}/status.json") as answer:
            assert answer.status == 200
        async with http.get(f"{url}/status.json", headers=headers) as answer:
            assert answer.status == 401


async def test_a_length_given_in_two_ways_is_refused(settings: Settings, queueing: Queueing) -> None:
    smuggled = (
        b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    async with serving(settings, queueing) as url:
        reader, writer = await connected(url, smuggled)
        answers = await reader.read()
        writer.close()
    assert answers.startswith(b"HTTP/1.1 400")
    assert answers.count(b"HTTP/1.1") == 1
