from __future__ import annotations

import asyncio
import time

from telegram import Bot

from tests.conftest import MakeSettings
from workers.telegram.courier import Courier


def test_closing_waits_for_the_answer_under_way(make_settings: MakeSettings) -> None:
    courier = Courier(make_settings(telegram_bot_token="123456:LOCAL", telegram_api_url="http://127.0.0.1:1"))
    done = []

    async def errand(_: Bot | None) -> None:
        await asyncio.sleep(1)
        done.append(True)

    courier.carry(errand)
    courier.close(30)
    assert done == [True]


def test_closing_does_not_wait_for_ever(make_settings: MakeSettings) -> None:
    courier = Courier(make_settings(telegram_bot_token="123456:LOCAL", telegram_api_url="http://127.0.0.1:1"))

    async def errand(_: Bot | None) -> None:
        await asyncio.sleep(600)

    courier.carry(errand)
    before = time.monotonic()
    courier.close(0.5)
    assert time.monotonic() - before < 60
