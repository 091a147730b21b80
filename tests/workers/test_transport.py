"""The transport against a real local Telegram, through python-telegram-bot's Bot."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from telegram import Bot
from telegram.error import NetworkError, RetryAfter, TimedOut

from devstack.ports import free_port
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from workers.telegram.transport import AiohttpRequest, NeverSent

TOKEN = "123456:LOCAL"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TelegramProcess]:
    process = TelegramProcess(tmp_path_factory.mktemp("telegram"), free_port(), TOKEN)
    process.start()
    yield process
    process.stop()


@pytest_asyncio.fixture
async def telegram(server: TelegramProcess) -> AsyncIterator[TelegramControl]:
    async with TelegramControl(server.url) as control:
        await control.reset()
        yield control


def bot_at(url: str, **options: float) -> Bot:
    request = AiohttpRequest(connections=4, **options)  # type: ignore[arg-type]  # floats, all of them
    return Bot(TOKEN, base_url=f"{url}/bot", request=request)


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
