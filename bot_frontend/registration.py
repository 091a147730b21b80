"""What passes once at start: who we are, and to Telegram the command menus, and the webhook where there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from telegram import Bot, BotCommand, BotCommandScopeChat
from telegram.error import BadRequest, TelegramError

from bot_frontend.reception import Receiver
from bot_frontend.texts import ADMIN_COMMANDS, COMMANDS
from bot_frontend.updates import ALLOWED_UPDATES
from dbcore.settings import Settings
from workers.telegram.floods import heed_flood
from workers.telegram.pacer import Pacer

log = structlog.get_logger(__name__)

RETRY_SECONDS_MIN = 1.0
RETRY_SECONDS_MAX = 30.0
WEBHOOK_CONNECTIONS_MAX = 40


class Identity:
    """Who the bot is to people; None until Telegram has said it."""

    username: str | None = None


async def register(
    bot: Bot, settings: Settings, identity: Identity, receiver: Receiver, pacer: Pacer
) -> None:
    """Beside the bot's work, for as long as it takes: a bot without a menu is a bot all the same."""
    await _insist("get_me", lambda: _ask_who_we_are(bot, identity), pacer)
    if settings.telegram_webhook_url is not None:
        # Beside each other: a webhook that Telegram refuses leaves people their menu.
        await asyncio.gather(
            _insist("set_webhook", lambda: set_webhook(bot, settings, receiver), pacer),
            _insist("set_commands", lambda: _set_commands(bot, settings), pacer),
        )
    else:
        await _insist("set_commands", lambda: _set_commands(bot, settings), pacer)


async def _ask_who_we_are(bot: Bot, identity: Identity) -> None:
    identity.username = (await bot.get_me()).username


async def set_webhook(bot: Bot, settings: Settings, receiver: Receiver) -> None:
    assert settings.telegram_webhook_url is not None  # noqa: S101
    assert settings.telegram_webhook_secret is not None  # noqa: S101  derived where it is not given
    try:
        await bot.set_webhook(
            settings.telegram_webhook_url,
            secret_token=settings.telegram_webhook_secret.get_secret_value(),
            allowed_updates=ALLOWED_UPDATES,
            max_connections=WEBHOOK_CONNECTIONS_MAX,
        )
    except TelegramError as error:
        receiver.failed(type(error).__name__)
        raise
    receiver.registered()


async def _set_commands(bot: Bot, settings: Settings) -> None:
    await bot.set_my_commands([BotCommand(*command) for command in COMMANDS])
    for admin_id in sorted(settings.admin_ids):
        try:
            await bot.set_my_commands(
                [BotCommand(*command) for command in (*COMMANDS, *ADMIN_COMMANDS)],
                scope=BotCommandScopeChat(admin_id),
            )
        except BadRequest as error:
            # An admin who never wrote to the bot has no chat with it yet; the menu is theirs after the next start.
            log.info("admin_menu_skipped", admin_id=admin_id, error=str(error))


async def _insist(what: str, attempt: Callable[[], Awaitable[None]], pacer: Pacer) -> None:
    seconds = RETRY_SECONDS_MIN
    while True:
        try:
            await attempt()
        except TelegramError as error:
            log.warning("registration_failed", what=what, error=str(error))
            await asyncio.sleep(max(seconds, await heed_flood(pacer, error)))
            seconds = min(2 * seconds, RETRY_SECONDS_MAX)
        else:
            return
