"""What only the presser needs to know is shown to them, or, if it can no longer be shown and matters, sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis
from telegram import Bot

from ballast.chat.origins import Origin
from ballast.messages import Message
from ballast.telegram.bot import make_bot
from ballast.telegram.errors import SendStatus
from ballast.telegram.presses import Presses, answer_press
from ballast.telegram.rate_limiter import RateLimiter
from devstack.stack import TOKEN
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.conftest import MakeSettings
from workers.replies import send_one


@pytest_asyncio.fixture
async def telegram(server: TelegramProcess) -> AsyncIterator[TelegramControl]:
    async with TelegramControl(server.url) as control:
        await control.reset(bot_settings=True)
        yield control


@pytest_asyncio.fixture
async def bot(server: TelegramProcess, make_settings: MakeSettings) -> AsyncIterator[Bot]:
    bot = make_bot(make_settings(telegram_api_url=server.url, telegram_bot_token=TOKEN), connections=2)
    yield bot
    await bot.request.shutdown()


async def test_a_press_is_answered_once_by_whoever_comes_first(
    bot: Bot, telegram: TelegramControl, client: redis.Redis
) -> None:
    ann = (await telegram.create_user("Ann", started=True)).id
    (press,) = await telegram.press(ann, 1, "x", force=True)
    presses, rate_limiter = Presses(client), RateLimiter(client)
    taken = [
        await answer_press(bot, presses, rate_limiter, press.callback_query_id, text)
        for text in ("first", "second")
    ]
    query = await telegram.callback_query(press.callback_query_id)
    assert taken == [True, False]
    assert query.answer is not None
    assert query.answer["text"] == "first"


async def test_presses_looked_at_together_are_each_answered_once(client: redis.Redis, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url, max_connections=1) as other_client:
        worker, frontend = Presses(client), Presses(other_client)
        ids = [f"press-{number}" for number in range(40)]
        taken = await asyncio.gather(
            *(presses.take(press) for press in [*ids, ids[0]] for presses in (worker, frontend))
        )
    assert [wait for wait in taken if wait is not None] == [0.0] * 40


async def test_what_is_too_old_to_be_shown_is_known_to_be_unseen(
    bot: Bot, telegram: TelegramControl, client: redis.Redis
) -> None:
    assert not await answer_press(bot, Presses(client), RateLimiter(client), "999", "too late")


@pytest.mark.parametrize(
    "description",
    ["TOPIC_CLOSED", "message thread not found", "not enough rights to send text messages to the chat"],
)
async def test_what_a_group_does_not_take_goes_to_the_private_chat(
    bot: Bot, telegram: TelegramControl, description: str
) -> None:
    ann = (await telegram.create_user("Ann", started=True)).id
    group = (await telegram.create_group("Team", [ann], supergroup=True)).id
    await telegram.add_fault(
        "error", chat_id=group, methods=["sendMessage"], description=f"Bad Request: {description}"
    )
    verdict = await send_one(bot, Origin(group, ann, 5, 7).publicly("an answer"))
    line = Origin(group, ann, 5, 7).privately("…")[1]
    assert verdict.meaning is SendStatus.DELIVERED
    assert (await send_one(bot, line)).meaning is SendStatus.REFUSED
    assert [message.text for message in await telegram.messages(ann, from_bot=True)] == ["an answer"]


async def test_a_deleted_command_is_answered_without_quoting_it(bot: Bot, telegram: TelegramControl) -> None:
    ann = (await telegram.create_user("Ann", started=True)).id
    group = (await telegram.create_group("Team", [ann], supergroup=True)).id
    assert (
        await send_one(bot, Origin(group, ann, 999).publicly("an answer"))
    ).meaning is SendStatus.DELIVERED


def test_the_last_release_s_messages_and_records_are_read() -> None:
    assert Message.model_validate_json('{"chat_id": 1, "text": "x"}').toast is None
    assert not Origin(-100).is_group
