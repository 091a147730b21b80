"""What passes at start: who we are, and to Telegram the command menus, and the webhook where there is one. What is set
already is not set again (registered.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from telegram import Bot, BotCommand, BotCommandScopeChat
from telegram.error import BadRequest, TelegramError

from ballast.telegram.floods import method_wait, refuse_method
from ballast.telegram.rate_limiter import RateLimiter
from ballast.texts import ENGLISH, available, speaking
from bot_frontend.deposits import takes_payments
from bot_frontend.handlers import allowed_updates
from bot_frontend.intake_health import Receiver
from bot_frontend.registration_record import RegistrationRecord, fingerprint
from bot_frontend.texts import menu
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

RETRY_SECONDS_MIN = 1.0
RETRY_SECONDS_MAX = 30.0
WEBHOOK_CONNECTIONS_MAX = 40


class Identity:
    """Who the bot is to people; None until Telegram has said it."""

    username: str | None = None


async def register(
    bot: Bot,
    settings: Settings,
    identity: Identity,
    receiver: Receiver,
    rate_limiter: RateLimiter,
    registered: RegistrationRecord,
    languages: Callable[[int], str] = lambda _: ENGLISH,
) -> None:
    """Beside the bot's work, for as long as it takes: a bot without a menu is a bot all the same.

    Each step waits for itself alone: a menu that Telegram refuses for minutes holds up nothing else.

    languages -- which language an admin reads.
    """
    steps = [
        _insist("getMe", lambda: _ask_who_we_are(bot, identity), rate_limiter),
        _insist("setMyCommands", lambda: _set_commands(bot, settings, registered, languages), rate_limiter),
    ]
    if settings.telegram_webhook_url is not None:
        steps.append(
            _insist("setWebhook", lambda: set_webhook(bot, settings, receiver, registered), rate_limiter)
        )
    await asyncio.gather(*steps)


async def _ask_who_we_are(bot: Bot, identity: Identity) -> None:
    identity.username = (await bot.get_me()).username


async def set_webhook(
    bot: Bot, settings: Settings, receiver: Receiver, registered: RegistrationRecord
) -> None:
    assert settings.telegram_webhook_url is not None  # noqa: S101
    assert settings.telegram_webhook_secret is not None  # noqa: S101  derived where it is not given
    url, secret = settings.telegram_webhook_url, settings.telegram_webhook_secret.get_secret_value()
    wanted = fingerprint(settings.telegram_api_url, url, secret, allowed_updates(), WEBHOOK_CONNECTIONS_MAX)
    try:
        if await registered.knows("webhook", wanted) and (await bot.get_webhook_info()).url == url:
            receiver.registered()
            return
        await bot.set_webhook(
            url,
            secret_token=secret,
            allowed_updates=allowed_updates(),
            max_connections=WEBHOOK_CONNECTIONS_MAX,
        )
    except TelegramError as error:
        receiver.failed(type(error).__name__)
        raise
    await registered.note("webhook", wanted)
    receiver.registered()


async def _set_commands(
    bot: Bot, settings: Settings, registered: RegistrationRecord, languages: Callable[[int], str]
) -> None:
    """Everybody's menu in each language that Telegram can choose by, and each admin's in their own."""
    await _set_menu(bot, settings, registered, ENGLISH, what="menu")
    for code, language in _language_codes().items():
        await _set_menu(bot, settings, registered, language, what=f"menu:{code}", language_code=code)
    for admin_id in settings.operator_ids:
        language = await asyncio.to_thread(languages, admin_id)
        await _set_menu(bot, settings, registered, language, what=f"menu:{admin_id}", admin_id=admin_id)


def _language_codes() -> dict[str, str]:
    """Telegram takes two letters, whose menu is shown to whoever's app has that language."""
    codes: dict[str, str] = {}
    for language in available():
        code = language.partition("_")[0]
        if len(code) == 2 and code != ENGLISH:
            codes.setdefault(code, language)
    return codes


async def _set_menu(
    bot: Bot,
    settings: Settings,
    registered: RegistrationRecord,
    language: str,
    *,
    what: str,
    language_code: str | None = None,
    admin_id: int | None = None,
) -> None:
    """what -- its name among what was set. admin_id -- whose chat has this menu; None for everybody's."""
    with speaking(language):
        commands = menu(
            None if admin_id is None else settings.role_of(admin_id),
            payments=takes_payments(settings),
            refunds=settings.stars_refund_hours > 0,
            withdrawals=settings.withdrawals_by is not None,
            subscriptions=bool(settings.subscription_plans),
            exchange=bool(settings.currencies),
        )
    wanted = fingerprint(settings.telegram_api_url, commands)
    if await registered.knows(what, wanted):
        return
    refused = False
    try:
        await bot.set_my_commands(
            [BotCommand(*command) for command in commands],
            scope=None if admin_id is None else BotCommandScopeChat(admin_id),
            language_code=language_code,
        )
    except BadRequest as error:
        if admin_id is None:
            raise
        # An admin who never wrote to the bot has no chat with it yet.
        log.info("admin_menu_skipped", admin_id=admin_id, error=str(error))
        refused = True
    await registered.note(what, wanted, refused=refused)


async def _insist(method: str, attempt: Callable[[], Awaitable[None]], rate_limiter: RateLimiter) -> None:
    """Until it is done. What Telegram refused by a 429, to whichever process, is not asked for before its time."""
    seconds = RETRY_SECONDS_MIN
    while True:
        await asyncio.sleep(await method_wait(rate_limiter, method))
        try:
            await attempt()
        except TelegramError as error:
            log.warning("registration_failed", what=method, error=str(error))
            await asyncio.sleep(max(seconds, await refuse_method(rate_limiter, method, error)))
            seconds = min(2 * seconds, RETRY_SECONDS_MAX)
        else:
            return
