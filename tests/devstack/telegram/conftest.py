"""A local Telegram of its own for these tests, and a real bot that talks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
import pytest_asyncio
from telegram import Bot
from telegram.request import HTTPXRequest

from devstack.ports import free_port
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess


@pytest.fixture(scope="session")
def telegram_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TelegramProcess]:
    process = TelegramProcess(tmp_path_factory.mktemp("telegram") / "data", free_port())
    process.start()
    yield process
    process.stop()


@pytest_asyncio.fixture
async def control(telegram_process: TelegramProcess) -> AsyncIterator[TelegramControl]:
    """The control API of a local Telegram as good as new."""
    async with TelegramControl(telegram_process.url) as control:
        await control.reset(bot_settings=True)
        yield control


@pytest_asyncio.fixture
async def bot(telegram_process: TelegramProcess, control: TelegramControl) -> AsyncIterator[Bot]:
    """python-telegram-bot, unchanged, which does not know that this is no real Telegram."""
    async with make_bot(telegram_process) as bot:
        yield bot


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def make_bot(process: TelegramProcess) -> Bot:
    return Bot(
        process.token,
        base_url=f"{process.url}/bot",
        base_file_url=f"{process.url}/file/bot",
        request=HTTPXRequest(connection_pool_size=8, read_timeout=30.0),
        get_updates_request=HTTPXRequest(read_timeout=70.0),
    )


def method_url(process: TelegramProcess, method: str) -> str:
    return f"{process.url}/bot{process.token}/{method}"
