"""A group that became a supergroup has another id: what goes to the old one is sent there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ballast.messages import Message
from ballast.telegram.bot import make_bot
from ballast.telegram.errors import SendStatus
from dbcore.broadcasts.leases import DeliveryStatus, Mark, Recipient
from devstack.stack import TOKEN
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.conftest import MakeSettings
from tests.harness.servers import running_telegram
from workers.broadcasts.send_one import post
from workers.replies import send_one


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TelegramProcess]:
    with running_telegram(tmp_path_factory.mktemp("telegram")) as process:
        yield process


async def test_an_answer_and_a_broadcast_follow_a_group_that_moved(
    server: TelegramProcess, make_settings: MakeSettings
) -> None:
    bot = make_bot(make_settings(telegram_api_url=server.url, telegram_bot_token=TOKEN), connections=2)
    async with TelegramControl(server.url) as telegram:
        member = (await telegram.create_user("Ann", started=True)).id
        old = await telegram.create_group("Team", [member])
        new = await telegram.upgrade_group(old.id)
        verdict = await send_one(bot, Message(chat_id=old.id, text="an answer"))
        posted = await post(bot, {"text": "news"}, Recipient(user_id=5, telegram_id=old.id), paid=False)
        there = [message.text for message in await telegram.messages(new.id, from_bot=True)]
        await telegram.add_fault("migrated", chat_id=new.id, migrate_to_chat_id=new.id)
        lost = await post(bot, {"text": "news"}, Recipient(user_id=5, telegram_id=new.id), paid=False)
    await bot.request.shutdown()
    assert verdict.meaning is SendStatus.DELIVERED
    assert (posted.result.status, posted.result.mark) == (DeliveryStatus.SENT, Mark.REACHED)
    assert there == ["an answer", "news"]
    assert (lost.result.status, lost.result.error) == (DeliveryStatus.FAILED, "the chat moved twice")
