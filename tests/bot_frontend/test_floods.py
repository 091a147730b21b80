"""A 429 at what the frontend asks of Telegram holds up that method, in every process, and no answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio
from pydantic import SecretStr
from telegram import Bot

from ballast.telegram.bot import make_bot
from ballast.telegram.presses import Presses, answer_press
from ballast.telegram.rate_limiter import RateLimiter
from ballast.telegram.reply_sender import delete_message
from ballast.texts import LANGUAGES
from bot_frontend.callbacks import CallbackAnswers, PressReply
from bot_frontend.checkouts import Checkouts
from bot_frontend.intake_health import Receiver
from bot_frontend.polling import Poller
from bot_frontend.registration import Identity, register
from bot_frontend.registration_record import RegistrationRecord
from dbcore.settings import Settings
from devstack.ports import free_port
from devstack.stack import TOKEN
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing
from tests.harness.servers import running_telegram

BOT_ID = "123456"
ADMINS = frozenset({1001, 1002})
SECONDS_MAX = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TelegramProcess]:
    with running_telegram(tmp_path_factory.mktemp("telegram"), admin_ids=(1001,)) as process:
        yield process


@pytest_asyncio.fixture
async def telegram(server: TelegramProcess) -> AsyncIterator[TelegramControl]:
    async with TelegramControl(server.url) as control:
        yield control
        await control.reset(bot_settings=True)


@pytest.fixture
def settings(server: TelegramProcess, make_settings: MakeSettings) -> Settings:
    return make_settings(telegram_api_url=server.url, telegram_bot_token=TOKEN, admin_ids=ADMINS)


@pytest_asyncio.fixture
async def bot(settings: Settings) -> AsyncIterator[Bot]:
    made = make_bot(settings, connections=4)
    yield made
    await made.request.shutdown()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not condition():
            await asyncio.sleep(0.01)


async def asked(telegram: TelegramControl, method: str) -> int:
    return len(await telegram.requests(method=method))


def registering(
    bot: Bot, settings: Settings, queueing: Queueing, identity: Identity | None = None
) -> asyncio.Task[None]:
    """What a frontend does at its start."""
    rate_limiter, registered = RateLimiter(queueing.client), RegistrationRecord(queueing.client, BOT_ID)
    receiver = Receiver("polling" if settings.telegram_webhook_url is None else "webhook")
    return asyncio.create_task(
        register(bot, settings, identity or Identity(), receiver, rate_limiter, registered)
    )


def assert_answers_go_on(queueing: Queueing) -> None:
    rate_limiter = RateLimiter(queueing.client)
    assert rate_limiter.interactive(8) == 0.0
    assert rate_limiter.bulk([9], paid=False).granted == (9,)


async def test_a_429_for_a_button_or_a_withdrawal_holds_up_that_alone(
    telegram: TelegramControl, bot: Bot, queueing: Queueing
) -> None:
    rate_limiter = RateLimiter(queueing.client)
    await telegram.add_fault("flood", methods=["answerCallbackQuery", "deleteMessage"], retry_after=490)
    CallbackAnswers(bot, rate_limiter, Presses(queueing.client)).answer(PressReply("1"))
    await until(lambda: rate_limiter.method_wait("answerCallbackQuery") > 0)
    await delete_message(bot, rate_limiter, 8, 1)
    assert rate_limiter.method_wait("deleteMessage:8") > 480
    assert_answers_go_on(queueing)
    # Neither is asked again before its time; of another chat a message is.
    assert not await answer_press(bot, Presses(queueing.client), RateLimiter(queueing.client), "2")
    await delete_message(bot, rate_limiter, 8, 1)
    assert await asked(telegram, "answerCallbackQuery") == 1
    assert await asked(telegram, "deleteMessage") == 1
    await delete_message(bot, rate_limiter, 9, 1)
    assert await asked(telegram, "deleteMessage") == 2


async def test_a_menu_that_telegram_refuses_holds_up_no_answer_and_is_not_asked_for_by_the_next_start(
    telegram: TelegramControl, bot: Bot, settings: Settings, queueing: Queueing
) -> None:
    await telegram.add_fault("flood", methods=["setMyCommands"], retry_after=490)
    identity = Identity()
    start = registering(bot, settings, queueing, identity)
    rate_limiter = RateLimiter(queueing.client)
    await until(lambda: rate_limiter.method_wait("setMyCommands") > 0 and identity.username is not None)
    start.cancel()
    assert_answers_go_on(queueing)
    again = registering(bot, settings, queueing, identity := Identity())
    await until(lambda: identity.username is not None)
    assert await asked(telegram, "setMyCommands") == 1
    # Its time is over, and the menu is set.
    await telegram.clear_faults()
    again.cancel()
    queueing.client.delete("ballast:pace:method:setMyCommands")
    await asyncio.wait_for(registering(bot, settings, queueing), SECONDS_MAX)
    assert {each["command"] for each in await telegram.menu(1001)} >= {"balance", "broadcast"}


async def test_a_menu_and_a_webhook_that_are_set_are_not_set_again_at_each_start(
    telegram: TelegramControl, bot: Bot, settings: Settings, queueing: Queueing
) -> None:
    webhook = f"http://127.0.0.1:{free_port()}/telegram"
    secret = SecretStr("a-secret")
    settings = settings.model_copy(
        update={"telegram_webhook_url": webhook, "telegram_webhook_secret": secret}
    )
    for _ in range(3):
        await asyncio.wait_for(registering(bot, settings, queueing), SECONDS_MAX)
    assert await asked(telegram, "setMyCommands") == len(LANGUAGES) + len(ADMINS)
    assert await asked(telegram, "setWebhook") == 1
    # Somebody took the webhook away.
    await bot.delete_webhook()
    await asyncio.wait_for(registering(bot, settings, queueing), SECONDS_MAX)
    assert (await bot.get_webhook_info()).url == webhook
    # Another menu is another fingerprint: here of one admin more.
    more = settings.model_copy(update={"admin_ids": ADMINS | {1003}})
    await asyncio.wait_for(registering(bot, more, queueing), SECONDS_MAX)
    assert await asked(telegram, "setMyCommands") == len(LANGUAGES) + len(ADMINS) + 1


async def test_a_poller_removes_a_webhook_only_where_there_is_one_and_goes_on_without_where_it_is_refused(
    telegram: TelegramControl, bot: Bot, settings: Settings, queueing: Queueing
) -> None:

    receiver, rate_limiter = Receiver("polling"), RateLimiter(queueing.client)
    callbacks = CallbackAnswers(bot, rate_limiter, Presses(queueing.client))
    poller = Poller(bot, None, callbacks, receiver, rate_limiter, Checkouts(bot, settings))  # type: ignore[arg-type]  # takes no update
    polling = asyncio.create_task(poller.run())
    try:
        await until(lambda: bool(receiver.now().ok))
        assert await asked(telegram, "deleteWebhook") == 0
        await telegram.add_fault("flood", methods=["deleteWebhook"], retry_after=490, count=1)
        await bot.set_webhook(f"http://127.0.0.1:{free_port()}/telegram")
        await until(lambda: rate_limiter.method_wait("deleteWebhook") > 0)
        assert_answers_go_on(queueing)
        queueing.client.delete("ballast:pace:method:deleteWebhook")
        await until(lambda: bool(receiver.now().ok))
        assert (await bot.get_webhook_info()).url == ""
    finally:
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
