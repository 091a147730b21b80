"""What each answer of Telegram means, asked of a real server through the real client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ballast.messages import Message
from ballast.telegram.bot import make_bot
from ballast.telegram.errors import SendStatus
from ballast.telegram.reply_sender import send
from devstack.ports import free_port
from devstack.stack import TOKEN
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.conftest import MakeSettings


@pytest_asyncio.fixture
async def telegram(server: TelegramProcess) -> AsyncIterator[TelegramControl]:
    async with TelegramControl(server.url) as control:
        yield control


async def attempt(make_settings: MakeSettings, url: str, message: Message) -> SendStatus:
    bot = make_bot(make_settings(telegram_api_url=url, telegram_bot_token=TOKEN), connections=2)
    try:
        return (await send(bot, message)).meaning
    finally:
        await bot.request.shutdown()


async def test_answers_mean_what_the_bot_api_says(
    server: TelegramProcess, telegram: TelegramControl, make_settings: MakeSettings
) -> None:
    user = (await telegram.create_user("Bob", started=True)).id

    async def sent(message: Message) -> SendStatus:
        return await attempt(make_settings, server.url, message)

    hello = Message(chat_id=user, text="hello <b>Bob</b>")
    assert await sent(hello) is SendStatus.DELIVERED
    seen = (await telegram.messages(user, from_bot=True))[-1]
    edit = Message(chat_id=user, text="hello again", edit_message_id=seen.message_id)
    assert await sent(edit) is SendStatus.DELIVERED
    assert await sent(edit) is SendStatus.DELIVERED  # "message is not modified"
    assert await sent(edit.model_copy(update={"edit_message_id": 999_999})) is SendStatus.EDIT_IMPOSSIBLE
    assert await sent(Message(chat_id=user, text="<b>")) is SendStatus.BAD_PAYLOAD
    assert await sent(Message(chat_id=987_654_321, text="x")) is SendStatus.CHAT_GONE
    await telegram.add_fault("deactivated", methods=["sendMessage"], chat_id=user, count=1)
    assert await sent(hello) is SendStatus.DEACTIVATED
    await telegram.block(user)
    assert await sent(hello) is SendStatus.BLOCKED


async def test_a_server_that_is_not_there_took_nothing(make_settings: MakeSettings) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    assert await attempt(make_settings, away, Message(chat_id=1, text="x")) is SendStatus.WAIT


@pytest.mark.parametrize(
    ("description", "meaning"),
    [
        ("Bad Request: VOICE_MESSAGES_FORBIDDEN", SendStatus.REFUSED),
        ("Bad Request: user restricted receiving of voice note messages", SendStatus.REFUSED),
        ("Bad Request: not enough rights to send text messages to the chat", SendStatus.REFUSED),
        ("Bad Request: have no rights to send a message", SendStatus.REFUSED),
        ("Bad Request: CHAT_RESTRICTED", SendStatus.REFUSED),
        ("Bad Request: CHAT_SEND_PHOTOS_FORBIDDEN", SendStatus.REFUSED),
        ("Bad Request: TOPIC_CLOSED", SendStatus.REFUSED),
        ("Bad Request: USER_IS_BLOCKED", SendStatus.REFUSED),
        ("Bad Request: CHAT_WRITE_FORBIDDEN", SendStatus.CHAT_GONE),
        ("Bad Request: message text is empty", SendStatus.BAD_PAYLOAD),
        ("Bad Request: MEDIA_EMPTY", SendStatus.BAD_PAYLOAD),
    ],
)
async def test_a_400_is_about_the_message_or_about_this_chat_alone(
    server: TelegramProcess,
    telegram: TelegramControl,
    make_settings: MakeSettings,
    description: str,
    meaning: SendStatus,
) -> None:
    user = (await telegram.create_user("Cy", started=True)).id
    await telegram.add_fault("error", chat_id=user, error_code=400, description=description, count=1)
    assert await attempt(make_settings, server.url, Message(chat_id=user, text="x")) is meaning
