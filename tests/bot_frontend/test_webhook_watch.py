"""A webhook that is gone, moved or failing is said, and set again a bounded number of times; on a local Telegram."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from telegram import Bot

from ballast.telegram.bot import make_bot
from bot_frontend.intake_health import Receiver
from bot_frontend.registration import set_webhook
from bot_frontend.registration_record import RegistrationRecord
from bot_frontend.webhook_watch import SETS_MAX, SETS_WITHIN_SECONDS, WebhookWatch
from dbcore.settings import Settings
from devstack.ports import free_port
from devstack.stack import TOKEN
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.harness.queueing import Queueing
from tests.harness.servers import running_telegram

ELSEWHERE = "http://127.0.0.1:1/elsewhere"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def telegram(tmp_path: Path) -> Iterator[TelegramProcess]:
    with running_telegram(tmp_path / "telegram", admin_ids=(1001,)) as server:
        yield server


@pytest.fixture
def settings(telegram: TelegramProcess) -> Settings:
    return Settings(
        telegram_bot_token=TOKEN,
        telegram_api_url=telegram.url,
        telegram_webhook_url=f"http://127.0.0.1:{free_port()}/hook",  # where nobody listens
    )


@pytest_asyncio.fixture
async def bot(settings: Settings) -> AsyncIterator[Bot]:
    made = make_bot(settings, connections=4)
    yield made
    await made.request.shutdown()


@pytest.fixture
def registered(queueing: Queueing) -> RegistrationRecord:
    return RegistrationRecord(queueing.client, "123456")


async def webhook_of(bot: Bot) -> str:
    return (await bot.get_webhook_info()).url


async def test_a_webhook_that_was_removed_is_said_and_set_again(
    bot: Bot, settings: Settings, registered: RegistrationRecord
) -> None:
    receiver = Receiver("webhook")
    watch = WebhookWatch(bot, settings, receiver, registered)
    await set_webhook(bot, settings, receiver, registered)
    await watch.look()
    assert receiver.now().error is None
    await bot.delete_webhook()
    await watch.look()
    assert (receiver.now().ok, receiver.now().error) == (False, "WebhookGone")
    assert await webhook_of(bot) == settings.telegram_webhook_url
    await watch.look()
    assert receiver.now().error is None


async def test_two_that_fight_over_a_webhook_are_said_to_and_the_fight_ends(
    bot: Bot, settings: Settings, registered: RegistrationRecord
) -> None:
    receiver, clock = Receiver("webhook"), Clock()
    watch = WebhookWatch(bot, settings, receiver, registered, clock=clock)
    for _ in range(SETS_MAX):
        await bot.set_webhook(ELSEWHERE)
        await watch.look()
        assert receiver.now().error == "WebhookElsewhere"
        assert await webhook_of(bot) == settings.telegram_webhook_url
    await bot.set_webhook(ELSEWHERE)
    await watch.look()
    assert await webhook_of(bot) == ELSEWHERE, "it is left to the other, for a while"
    clock.now += SETS_WITHIN_SECONDS
    await watch.look()
    assert await webhook_of(bot) == settings.telegram_webhook_url


async def test_a_webhook_that_fails_is_said_with_telegrams_words_and_without_addresses(
    bot: Bot, settings: Settings, registered: RegistrationRecord, telegram: TelegramProcess
) -> None:
    receiver = Receiver("webhook")
    watch = WebhookWatch(bot, settings, receiver, registered)
    await set_webhook(bot, settings, receiver, registered)
    async with TelegramControl(telegram.url) as control:
        await control.send_text(1001, "/start")
    async with asyncio.timeout(60):
        while receiver.now().error is None:
            await watch.look()
            await asyncio.sleep(0.05)
    seen = receiver.now()
    assert seen.error is not None
    assert seen.error.startswith("WebhookFailing: ")
    assert "127.0.0.1" not in seen.error
    assert seen.pending == 1
