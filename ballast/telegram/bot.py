"""python-telegram-bot's Bot, as Ballast sets it up."""

from __future__ import annotations

from telegram import Bot

from ballast.status.counters import LocalCounters
from ballast.telegram.transport import AiohttpRequest
from dbcore.settings import Settings


def make_bot(settings: Settings, *, connections: int, counters: LocalCounters | None = None) -> Bot:
    """python-telegram-bot's Bot against the configured server.

    It is not `initialize()`d: that would ask `getMe`, and a worker must start while Telegram is away.
    """
    proxy = settings.telegram_proxy_url
    request = AiohttpRequest(
        connections=connections,
        proxy=None if proxy is None else proxy.get_secret_value(),
        counters=counters,
    )
    return Bot(
        settings.require("telegram_bot_token"),
        base_url=f"{settings.telegram_api_url}/bot",
        base_file_url=f"{settings.telegram_api_url}/file/bot",
        request=request,
        get_updates_request=request,  # or the default one is made, which reads all authorities of certificates
    )
