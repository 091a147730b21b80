from __future__ import annotations

import asyncio
import time
from pathlib import Path

from telegram import Bot

from ballast.messages import Message
from ballast.telegram.bot import make_bot
from ballast.telegram.reply_sender import ReplySender, send
from dbcore.broadcasts.leases import Recipient
from devstack.ports import free_port
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.conftest import MakeSettings
from workers.broadcasts.send_one import post


def test_closing_waits_for_the_answer_under_way(make_settings: MakeSettings) -> None:
    reply_sender = ReplySender(
        make_settings(telegram_bot_token="123456:LOCAL", telegram_api_url="http://127.0.0.1:1")
    )
    done = []

    async def errand(_: Bot | None) -> None:
        await asyncio.sleep(1)
        done.append(True)

    reply_sender.submit(errand)
    reply_sender.close(30)
    assert done == [True]


def test_closing_does_not_wait_for_ever(make_settings: MakeSettings) -> None:
    reply_sender = ReplySender(
        make_settings(telegram_bot_token="123456:LOCAL", telegram_api_url="http://127.0.0.1:1")
    )

    async def errand(_: Bot | None) -> None:
        await asyncio.sleep(600)

    reply_sender.submit(errand)
    before = time.monotonic()
    reply_sender.close(0.5)
    assert time.monotonic() - before < 60


async def test_no_answer_shows_a_preview_of_a_link_and_a_broadcast_may(
    tmp_path: Path, make_settings: MakeSettings
) -> None:
    token, link = "123456:LOCAL", "https://evil.example/x"
    server = TelegramProcess(tmp_path / "telegram", free_port(), token)
    server.start()
    bot = make_bot(make_settings(telegram_api_url=server.url, telegram_bot_token=token), connections=2)
    try:
        async with TelegramControl(server.url) as telegram:
            ann = (await telegram.create_user("Ann", started=True)).id
            sent = await send(bot, Message(chat_id=ann, text=link))
            seen = [(await telegram.messages(ann, from_bot=True))[-1].message]
            await send(bot, Message(chat_id=ann, text=f"{link}/y", edit_message_id=sent.message_id))
            seen += [(await telegram.messages(ann, from_bot=True))[-1].message]
            await post(bot, {"text": link}, Recipient(user_id=1, telegram_id=ann), paid=False)
            seen += [(await telegram.messages(ann, from_bot=True))[-1].message]
    finally:
        await bot.request.shutdown()
        server.stop()
    answer, edited, broadcast = seen
    assert answer["link_preview_options"] == {"is_disabled": True}
    assert (edited["text"], edited["link_preview_options"]) == (f"{link}/y", {"is_disabled": True})
    assert "link_preview_options" not in broadcast
