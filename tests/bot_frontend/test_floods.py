"""A 429 at whatever the frontend asks of Telegram makes the whole fleet wait."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bot_frontend.callbacks import CallbackAnswers, PressReply
from bot_frontend.reception import Receiver
from bot_frontend.registration import Identity, register
from devstack.ports import free_port
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.conftest import MakeSettings
from tests.queueing import Queueing
from workers.telegram.bot import make_bot
from workers.telegram.courier import withdraw
from workers.telegram.pacer import Pacer
from workers.telegram.presses import Presses

TOKEN = "123456:LOCAL"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TelegramProcess]:
    process = TelegramProcess(tmp_path_factory.mktemp("telegram"), free_port(), TOKEN)
    process.start()
    yield process
    process.stop()


@pytest.mark.parametrize("method", ["answerCallbackQuery", "getMe", "deleteMessage"])
async def test_whoever_hears_a_429_tells_everybody(
    server: TelegramProcess, queueing: Queueing, make_settings: MakeSettings, method: str
) -> None:
    settings = make_settings(telegram_api_url=server.url, telegram_bot_token=TOKEN)
    bot = make_bot(settings, connections=2)
    pacer = Pacer(queueing.client)
    registering: asyncio.Task[None] | None = None
    async with TelegramControl(server.url) as telegram:
        await telegram.add_fault("flood", methods=[method], retry_after=30)
        match method:
            case "answerCallbackQuery":
                CallbackAnswers(bot, pacer, Presses(queueing.client)).answer(PressReply("1"))
            case "getMe":
                registering = asyncio.create_task(
                    register(bot, settings, Identity(), Receiver("polling"), pacer)
                )
            case _:
                await withdraw(bot, pacer, 8, 1)
        while not queueing.client.hexists("ballast:pace", "halted_until"):
            await asyncio.sleep(0.01)
        await telegram.clear_faults()
    assert 20 < Pacer(queueing.client).interactive(8) <= 30
    if registering is not None:
        registering.cancel()
    await bot.request.shutdown()
