"""`python -m bot_frontend`: the process that listens to Telegram and serves the pages."""

from __future__ import annotations

import asyncio
import sys

import redis
import structlog
import uvicorn
import uvloop

from ballast.apps.installed import INSTALLED
from ballast.broadcasts.albums import Albums
from ballast.inbox import Inbox, Publisher
from ballast.payouts.installed import require_adapter
from ballast.process import ownership
from ballast.process.garbage import spare_what_stays
from ballast.process.logs import configure_logging
from ballast.process.ownership import WrongBot
from ballast.providers.installed import providers
from ballast.status import board
from ballast.telegram.bot import make_bot
from ballast.telegram.presses import Presses
from ballast.telegram.rate_limiter import RateLimiter
from bot_frontend.callbacks import CallbackAnswers
from bot_frontend.checkouts import Checkouts
from bot_frontend.intake import Intake
from bot_frontend.intake_health import Receiver
from bot_frontend.late_notices import LateNotices
from bot_frontend.own_loop import run_in_own_loop
from bot_frontend.polling import Poller
from bot_frontend.redis_alarm import RedisAlarm
from bot_frontend.registration import Identity, register
from bot_frontend.registration_record import RegistrationRecord
from bot_frontend.web.actions import Actions
from bot_frontend.web.app import make_app
from bot_frontend.web.app_webhooks import AppWebhooks
from bot_frontend.web.jobs import Jobs
from bot_frontend.web.lazy_api import LazyApi
from bot_frontend.web.monitor import Monitor
from bot_frontend.web.server import AcceptErrors, make_server
from bot_frontend.web.webhook import Webhook
from bot_frontend.webhook_watch import WebhookWatch
from dbcore.redis_client import connect_redis, require_database
from dbcore.settings import Settings, SettingsError, load_settings

log = structlog.get_logger("bot_frontend")

REDIS_CALL_SECONDS_MAX = 1.0
CONNECTIONS_MAX = 64


async def serve(settings: Settings) -> None:
    """Build everything, run it until the server is told to stop, and end the rest with it."""
    client = connect_redis(settings, call_seconds_max=REDIS_CALL_SECONDS_MAX)
    inbox, publisher = Inbox(client), Publisher(client)
    receiver = Receiver("polling" if settings.telegram_webhook_url is None else "webhook")
    monitor = Monitor(client, settings, receiver.now, lambda: board.ask(publisher))
    identity = Identity()
    bot = make_bot(settings, connections=CONNECTIONS_MAX)
    rate_limiter = RateLimiter(client)
    late_notices = LateNotices(bot, inbox, rate_limiter, settings)
    intake = Intake(
        settings,
        inbox,
        publisher,
        Albums(client),
        lambda: monitor.seen.database_is_away,
        lambda: identity.username,
        lambda: monitor.seen.fleet is not None and monitor.seen.fleet.is_read_only,
        lambda: monitor.seen.fleet is not None and monitor.seen.fleet.paused,
        lambda: monitor.seen.redis,
        lambda: ownership.claim(client, settings),
        late_notices.watch,
    )
    callbacks, checkouts = CallbackAnswers(bot, rate_limiter, Presses(client)), Checkouts(bot, settings)
    webhook = None
    if settings.telegram_webhook_url is not None:
        assert settings.telegram_webhook_secret is not None  # noqa: S101  derived where it is not given
        secret = settings.telegram_webhook_secret.get_secret_value()
        webhook = Webhook(secret, intake, callbacks, receiver, checkouts)

    actions, app_webhooks = (
        Actions(client, inbox, publisher),
        AppWebhooks(INSTALLED, intake, providers(settings)),
    )
    api = LazyApi(settings, client, inbox, publisher)
    app = make_app(settings, monitor, webhook, actions, Jobs(client), app_webhooks, api)
    server = make_server(app, settings.ops_host, settings.ops_port)
    asyncio.get_running_loop().set_exception_handler(AcceptErrors())
    registered = RegistrationRecord(client, str(settings.bot_id))
    beside = [
        asyncio.create_task(
            register(bot, settings, identity, receiver, rate_limiter, registered, inbox.languages.of)
        ),
        asyncio.create_task(late_notices.run()),
        asyncio.create_task(
            RedisAlarm(bot, settings.admin_ids, lambda: monitor.latest, inbox.languages).run()
        ),
    ]
    if webhook is None:

        async def poll() -> None:
            polling_bot = make_bot(settings, connections=1)
            try:
                await Poller(polling_bot, intake, callbacks, receiver, rate_limiter, checkouts).run()
            finally:
                await polling_bot.request.shutdown()

        beside.append(asyncio.create_task(run_in_own_loop(poll, name="poller")))
    else:
        beside.append(asyncio.create_task(WebhookWatch(bot, settings, receiver, registered).run()))
    for task in beside:
        task.add_done_callback(lambda ended: _stop_after_crash(ended, server))
    monitor.start()
    if (webhook is not None or app_webhooks.routes()) and settings.ops_token is None:
        log.warning(
            "ops_token_unset",
            risk="a proxy that does not say for whom it asks shows the details to everybody",
        )
    log.info("frontend_started", mode="polling" if webhook is None else "webhook", port=settings.ops_port)
    spare_what_stays()
    try:
        await server.serve()
    finally:
        await asyncio.to_thread(monitor.stop)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await api.close()
        await bot.request.shutdown()
    for task in beside:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


def _stop_after_crash(ended: asyncio.Task[None], server: uvicorn.Server) -> None:
    """A frontend that no longer listens must not look alive: it ends, and whoever supervises it starts another."""
    if not ended.cancelled() and ended.exception() is not None:
        server.should_exit = True


def _claim_redis(settings: Settings) -> None:
    """Raises WrongBot, SettingsError. A Redis that does not answer now is asked again by intake."""
    with connect_redis(settings, call_seconds_max=REDIS_CALL_SECONDS_MAX) as client:
        try:
            ownership.claim(client, settings)
        except redis.RedisError as error:
            if "HELLO" in str(error):
                raise SettingsError(
                    "REDIS_URL: this Redis, or a proxy before it, does not know the command HELLO. "
                    "Ballast needs Redis 6.2 or later"
                ) from error
            log.warning("redis_not_claimed", error=type(error).__name__)


def main() -> None:
    configure_logging()
    try:
        settings = load_settings()
        settings.require("telegram_bot_token")
        require_database(settings)
        require_adapter(settings)
        _claim_redis(settings)
    except (SettingsError, WrongBot) as error:
        sys.exit(f"ballast: {error}")
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()
