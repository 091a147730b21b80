"""Whether updates reach us is known, with the real poller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from ballast.broadcasts.albums import Albums
from ballast.telegram.bot import make_bot
from ballast.telegram.presses import Presses
from ballast.telegram.rate_limiter import RateLimiter
from bot_frontend.callbacks import CallbackAnswers
from bot_frontend.checkouts import Checkouts
from bot_frontend.intake import Intake
from bot_frontend.intake_health import IntakeHealth, Receiver
from bot_frontend.polling import Poller
from devstack.ports import free_port
from devstack.stack import TOKEN
from devstack.telegram.process import TelegramProcess
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing


async def heard(receiver: Receiver, told: Callable[[IntakeHealth], bool]) -> IntakeHealth:
    while not told(receiver.now()):
        await asyncio.sleep(0.05)
    return receiver.now()


async def test_the_poller_says_whether_telegram_answers(
    make_settings: MakeSettings, queueing: Queueing, tmp_path: Path
) -> None:
    port = free_port()
    settings = make_settings(
        redis_url=queueing.redis_url,
        telegram_bot_token=TOKEN,
        telegram_api_url=f"http://127.0.0.1:{port}",
    )
    bot = make_bot(settings, connections=2)
    receiver, rate_limiter = Receiver("polling"), RateLimiter(queueing.client)
    intake = Intake(settings, queueing.inbox, queueing.publisher, Albums(queueing.client), lambda: False)
    assert receiver.now() == IntakeHealth("polling", None, None, None)
    polling = asyncio.create_task(
        Poller(
            bot,
            intake,
            CallbackAnswers(bot, rate_limiter, Presses(queueing.client)),
            receiver,
            rate_limiter,
            Checkouts(bot, settings),
        ).run()
    )
    server = TelegramProcess(tmp_path / "telegram", port, TOKEN, admin_ids=())
    try:
        away = await heard(receiver, lambda now: now.ok is False)
        assert (away.error, away.heard_ago_seconds) == ("NeverSent", None)
        await asyncio.to_thread(server.start)
        assert (await heard(receiver, lambda now: bool(now.ok))).error is None
        rival = make_bot(settings, connections=2)
        await rival.get_updates(timeout=0)
        conflict = await heard(receiver, lambda now: now.error == "Conflict")
        assert conflict.ok is False
        await rival.request.shutdown()
    finally:
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        await bot.request.shutdown()
        server.stop()
