"""The transport against a real local Telegram, through python-telegram-bot's Bot."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from telegram import Bot
from telegram.error import NetworkError, RetryAfter, TimedOut

from ballast.telegram.bot import make_bot
from ballast.telegram.transport import FLOOD_SECONDS, AiohttpRequest, NeverSent
from devstack.ports import free_port
from devstack.stack import TOKEN
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.ballast.telegram.network import Proxy, behind_tls, proxy_on_the_way
from tests.conftest import MakeSettings

HERE = Path(__file__).parent


@pytest_asyncio.fixture
async def telegram(server: TelegramProcess) -> AsyncIterator[TelegramControl]:
    async with TelegramControl(server.url) as control:
        await control.reset()
        yield control


def bot_at(url: str, **options: Any) -> Bot:
    request = AiohttpRequest(**{"connections": 4, **options})
    return Bot(TOKEN, base_url=f"{url}/bot", request=request)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """The URL of a server that has the same answer to everything, and ends the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest_asyncio.fixture
async def bot(server: TelegramProcess) -> AsyncIterator[Bot]:
    made = bot_at(server.url)
    yield made
    await made.request.shutdown()


async def test_messages_and_files_arrive_as_they_were_sent(bot: Bot, telegram: TelegramControl) -> None:
    user = (await telegram.create_user("Zoë", started=True)).id
    await bot.send_message(user, "grüße – 5 & 6", disable_notification=True)
    await bot.send_document(user, b"a,b\n1,2\n", filename="report ü.csv", caption="the report")
    text, document = await telegram.messages(user, from_bot=True)
    assert text.text == "grüße – 5 & 6"
    assert document.text == "the report"
    assert document.message["document"]["file_name"] == "report ü.csv"
    assert document.message["document"]["file_size"] == 8


async def test_a_429_tells_how_long_to_wait(bot: Bot, telegram: TelegramControl) -> None:
    user = (await telegram.create_user("Bea", started=True)).id
    await telegram.add_fault("flood", methods=["sendMessage"], retry_after=7, count=1)
    with pytest.raises(RetryAfter) as error:
        await bot.send_message(user, "x")
    assert error.value.retry_after == 7


@pytest.mark.parametrize(
    "body",
    [
        {"ok": False, "error_code": 429, "description": "Too Many Requests"},
        {"ok": False, "error_code": 429, "parameters": {"retry_after": 0}},
        {"ok": False, "error_code": 429, "parameters": {"retry_after": -1}},
        {"ok": False, "error_code": 429, "parameters": None},
        "<html>too many requests</html>",
    ],
)
async def test_a_429_that_names_no_time_is_a_429_all_the_same(body: Any) -> None:
    written = body if isinstance(body, str) else json.dumps(body)
    head = f"HTTP/1.1 429 Too Many Requests\r\nContent-Length: {len(written)}\r\n\r\n"
    async with answering((head + written).encode()) as url:
        bot = bot_at(url)
        with pytest.raises(RetryAfter) as error:
            await bot.send_message(1, "x")
        await bot.request.shutdown()
    assert error.value.retry_after == FLOOD_SECONDS


async def test_where_nobody_listens_nothing_was_sent() -> None:
    bot = bot_at(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(NeverSent):
        await bot.send_message(1, "x")
    await bot.request.shutdown()


async def test_a_connection_that_is_not_had_in_time_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        # Fill the backlog, so that the kernel lets further connects hang.
        waiting = [socket.socket() for _ in range(3)]
        for filler in waiting:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        bot = bot_at(f"http://127.0.0.1:{port}", connect_seconds=0.5)
        with pytest.raises(NeverSent):
            await bot.send_message(1, "x")
        await bot.request.shutdown()
        for filler in waiting:
            filler.close()


async def test_silence_after_the_request_leaves_it_open_whether_it_arrived(
    server: TelegramProcess, telegram: TelegramControl
) -> None:
    user = (await telegram.create_user("Cleo", started=True)).id
    bot = bot_at(server.url, read_seconds=0.5)
    for when in ("before", "after"):
        await telegram.add_fault("hang", methods=["sendMessage"], when=when, seconds=3, count=1)
        with pytest.raises(TimedOut):
            await bot.send_message(user, when)
    await bot.request.shutdown()
    requests = await telegram.requests(method="sendMessage", chat_id=user)
    assert [request.took_effect for request in requests] == [False, True]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_reset_leaves_it_open_whether_it_arrived(
    bot: Bot, telegram: TelegramControl, when: str
) -> None:
    user = (await telegram.create_user("Dan", started=True)).id
    await telegram.add_fault("reset", methods=["sendMessage"], when=when, count=1)
    with pytest.raises(NetworkError) as error:
        await bot.send_message(user, "x")
    assert not isinstance(error.value, NeverSent)


async def test_more_requests_than_connections_wait_their_turn(bot: Bot, telegram: TelegramControl) -> None:
    user = (await telegram.create_user("Eve", started=True)).id
    await telegram.add_fault("latency", methods=["sendMessage"], seconds=0.05)
    await asyncio.gather(*(bot.send_message(user, str(number)) for number in range(12)))
    assert {message.text for message in await telegram.messages(user, from_bot=True)} == set(
        map(str, range(12))
    )


async def test_who_gets_no_connection_in_time_sent_nothing(
    server: TelegramProcess, telegram: TelegramControl
) -> None:
    user = (await telegram.create_user("Fay", started=True)).id
    bot = bot_at(server.url, connections=1)
    await telegram.add_fault("latency", methods=["sendMessage"], seconds=60, count=1)
    first = asyncio.create_task(bot.send_message(user, "first", read_timeout=60))
    while not any(fault.hits for fault in await telegram.faults()):
        await asyncio.sleep(0.01)
    with pytest.raises(NeverSent):
        await bot.send_message(user, "second", pool_timeout=0.1, connect_timeout=0.1)
    third = asyncio.create_task(bot.send_message(user, "third", pool_timeout=60))
    await telegram.clear_faults()
    await first
    await third
    await bot.request.shutdown()
    assert [message.text for message in await telegram.messages(user, from_bot=True)] == ["first", "third"]


async def test_a_request_that_cannot_be_written_ends_and_may_have_arrived() -> None:
    never = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await never.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1)
    bot = bot_at(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(TimedOut):
        await bot.send_document(
            1, b"x" * 20_000_000, pool_timeout=0.1, connect_timeout=0.4, write_timeout=0.2, read_timeout=0.3
        )
    never.set()
    await bot.request.shutdown()
    server.close()


@pytest_asyncio.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with proxy_on_the_way() as made:
        yield made


def trusting(authority: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority and HERE / authority)


async def test_messages_go_by_the_proxy_that_is_set(
    server: TelegramProcess, telegram: TelegramControl, proxy: Proxy, make_settings: MakeSettings
) -> None:
    user = (await telegram.create_user("Gil", started=True)).id
    settings = make_settings(
        telegram_bot_token=TOKEN,
        telegram_api_url=server.url,
        telegram_proxy_url=proxy.url.replace("//", "//ballast:p%40ss@"),
    )
    bot = make_bot(settings, connections=2)
    await bot.send_message(user, "by the proxy")
    await bot.request.shutdown()
    (message,) = await telegram.messages(user, from_bot=True)
    assert message.text == "by the proxy"
    (asked,) = proxy.asked
    assert asked.startswith(f"POST {server.url}/bot")
    assert "Proxy-Authorization: Basic YmFsbGFzdDpwQHNz\r\n" in asked


async def test_a_proxy_of_the_environment_is_heeded_and_a_password_file_is_not(
    server: TelegramProcess,
    telegram: TelegramControl,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    user = (await telegram.create_user("Ivy", started=True)).id
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    bot = bot_at(server.url)
    await bot.send_message(user, "by the environment's proxy")
    await bot.request.shutdown()
    assert len(proxy.asked) == 1
    monkeypatch.delenv("HTTP_PROXY")
    bot = bot_at(proxy.url)  # as if it were Telegram: it notes what it is asked
    with pytest.raises(NetworkError):
        await bot.send_message(user, "to nobody")
    await bot.request.shutdown()
    assert len(proxy.asked) == 2
    assert "Authorization" not in proxy.asked[1]


async def test_by_a_proxy_and_tls_messages_arrive_and_what_either_refuses_was_never_sent(
    server: TelegramProcess, telegram: TelegramControl, proxy: Proxy
) -> None:
    user = (await telegram.create_user("Hal", started=True)).id
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HERE / "signed_for_loopback.pem")
    async with behind_tls(server.url, context) as port:

        async def send(
            host: str = "127.0.0.1", authority: str | None = "authority.pem", **options: Any
        ) -> None:
            bot = bot_at(f"https://{host}:{port}", tls=trusting(authority), **options)
            try:
                await bot.send_message(user, "hidden")
            finally:
                await bot.request.shutdown()

        await send()
        await send(proxy=proxy.url)
        assert [asked.partition(" HTTP")[0] for asked in proxy.asked] == [f"CONNECT 127.0.0.1:{port}"]
        for options in ({"authority": None}, {"host": "localhost"}):
            for by in ({}, {"proxy": proxy.url}):
                with pytest.raises(NeverSent):
                    await send(**options, **by)
        proxy.refuses = True
        with pytest.raises(NeverSent):
            await send(proxy=proxy.url)
        proxy.refuses, proxy.hangs_up = False, True
        with pytest.raises(NeverSent):
            await send(proxy=proxy.url)
        with pytest.raises(NeverSent):
            await send(proxy=f"http://127.0.0.1:{free_port()}")
    assert len(await telegram.messages(user, from_bot=True)) == 2
