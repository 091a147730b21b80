"""Delivery to a webhook: the secret, the order, the retries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest_asyncio
from aiohttp import web
from telegram import Bot

from devstack.ports import free_port
from devstack.telegram.control import TelegramControl
from devstack.telegram.demo import BOB_ID, CAROL_ID

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"


@dataclass
class Hook:
    """A bot's web server: notes what comes, and answers what a test prepared."""

    url: str
    came: list[dict[str, Any]] = field(default_factory=list)
    secrets: list[str | None] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)
    release: asyncio.Event | None = None
    something: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        async with self.something:
            self.came.append(await request.json())
            self.secrets.append(request.headers.get(SECRET_HEADER))
            self.something.notify_all()
        if self.release is not None:
            await self.release.wait()
        return self.answers.pop(0) if self.answers else web.Response()

    async def until(self, count: int) -> None:
        async with self.something:
            await asyncio.wait_for(self.something.wait_for(lambda: len(self.came) >= count), 30)

    @property
    def texts(self) -> list[str]:
        return [update["message"]["text"] for update in self.came]


@pytest_asyncio.fixture
async def hook() -> AsyncIterator[Hook]:
    port = free_port()
    hook = Hook(f"http://127.0.0.1:{port}/telegram")
    app = web.Application()
    app.router.add_post("/telegram", hook.take)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield hook
    await runner.cleanup()


async def test_an_update_comes_with_the_secret_and_is_acknowledged_by_200(
    bot: Bot, control: TelegramControl, hook: Hook
) -> None:
    await control.send_text(BOB_ID, "before the webhook")
    await bot.set_webhook(hook.url, secret_token="s3cret-Token_", max_connections=7)
    await hook.until(1)
    await control.wait_until_acknowledged()
    assert hook.secrets == ["s3cret-Token_"]
    [update] = await control.updates()
    assert update.acknowledged_by == "webhook"
    info = await bot.get_webhook_info()
    assert (info.url, info.pending_update_count, info.max_connections) == (hook.url, 0, 7)


async def test_a_refused_update_comes_again_at_once_then_later(
    bot: Bot, control: TelegramControl, hook: Hook
) -> None:
    hook.answers = [web.Response(status=500), web.Response(status=503)]
    await bot.set_webhook(hook.url)
    await control.send_text(BOB_ID, "again")
    await hook.until(3)
    await control.wait_until_acknowledged()
    assert hook.came[0] == hook.came[1] == hook.came[2]
    deliveries = await control.webhook_deliveries()
    assert [(each["attempt"], each["status"]) for each in deliveries] == [(1, 500), (2, 503), (3, 200)]
    assert deliveries[1]["at"] - deliveries[0]["at"] < 1.9, "the first retry waits for nothing"
    assert deliveries[2]["at"] - deliveries[1]["at"] >= 1.9, "the second waits two seconds"
    info = await bot.get_webhook_info()
    assert info.last_error_message == "Wrong response from the webhook: 503 Service Unavailable"
    assert info.last_error_date is not None


async def test_retry_after_is_honoured(bot: Bot, control: TelegramControl, hook: Hook) -> None:
    hook.answers = [web.Response(status=503, headers={"Retry-After": "1"})]
    await bot.set_webhook(hook.url)
    await control.send_text(BOB_ID, "busy")
    await hook.until(2)
    await control.wait_until_acknowledged()
    first, second = await control.webhook_deliveries()
    assert second["at"] - first["at"] >= 0.9


async def test_a_chats_messages_come_in_order_while_others_pass(
    bot: Bot, control: TelegramControl, hook: Hook
) -> None:
    hook.release = asyncio.Event()
    await bot.set_webhook(hook.url)
    for text in ("bob 1", "bob 2"):
        await control.send_text(BOB_ID, text)
    await control.send_text(CAROL_ID, "carol 1")
    await hook.until(2)
    assert sorted(hook.texts) == ["bob 1", "carol 1"], "bob 2 waits for the answer to bob 1"
    hook.release.set()
    await hook.until(3)
    assert hook.texts[2] == "bob 2"


async def test_nobody_there_is_told_and_updates_wait(bot: Bot, control: TelegramControl) -> None:
    await bot.set_webhook(f"http://127.0.0.1:{free_port()}/nobody")
    await control.send_text(BOB_ID, "hello?")
    while not (await control.webhook_deliveries()):
        await control.requests(wait_seconds=0.2, after=10**9)
    info = await bot.get_webhook_info()
    assert (info.pending_update_count, info.last_error_message) == (1, "Connection refused")
    await bot.delete_webhook(drop_pending_updates=True)
    assert (await bot.get_webhook_info()).pending_update_count == 0
    assert [update.acknowledged_by for update in await control.updates()] == ["dropped"]


async def test_a_method_may_be_called_in_the_answer(bot: Bot, control: TelegramControl, hook: Hook) -> None:
    hook.answers = [web.json_response({"method": "sendMessage", "chat_id": BOB_ID, "text": "by return"})]
    await bot.set_webhook(hook.url)
    await control.send_text(BOB_ID, "hello")
    assert (await control.wait_for_message(BOB_ID)).text == "by return"
