"""Admins hear that Redis takes no commands, past Redis; on a local Telegram."""

from __future__ import annotations

import time
from pathlib import Path

import redis

from ballast.chat.languages import Languages
from ballast.telegram.bot import make_bot
from bot_frontend.redis_alarm import TOLD_AFTER_SECONDS, RedisAlarm
from bot_frontend.web.snapshot import StatusSnapshot
from dbcore.redis_condition import RedisCondition, RedisTrouble
from dbcore.settings import Settings
from devstack.ports import free_port
from devstack.stack import TOKEN
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess

ADMIN = 1001


class Scene:
    """What the monitor sees, and what time it is."""

    redis_ok = True
    condition = RedisCondition()
    now = 0.0

    def look(self) -> StatusSnapshot:
        return StatusSnapshot(looked_at=time.time(), redis_ok=self.redis_ok, redis=self.condition)


async def test_admins_hear_past_redis_in_their_language_that_it_takes_no_commands_and_that_it_does_again(
    tmp_path: Path, redis_url: str
) -> None:
    server = TelegramProcess(tmp_path / "telegram", free_port(), TOKEN, admin_ids=(ADMIN,))
    server.start()
    bot = make_bot(Settings(telegram_bot_token=TOKEN, telegram_api_url=server.url), connections=2)
    scene = Scene()
    client = redis.Redis.from_url(redis_url)
    Languages(client).choose(ADMIN, "de", None)
    alarm = RedisAlarm(bot, {ADMIN}, scene.look, Languages(client), clock=lambda: scene.now)
    try:
        async with TelegramControl(server.url) as control:

            async def told() -> list[str]:
                return [message.text for message in await control.messages(ADMIN)]

            await control.send_text(ADMIN, "/start")
            before = len(await told())
            await alarm.look()
            client.connection_pool.connection_kwargs["port"] = free_port()  # where nobody answers
            client.connection_pool.disconnect()
            scene.condition = RedisCondition((RedisTrouble.TOO_FEW_REPLICAS,))
            await alarm.look()
            assert len(await told()) == before, "it may be over in a moment"
            scene.now = TOLD_AFTER_SECONDS
            await alarm.look()
            await alarm.look()
            assert len(await told()) == before + 1
            assert (await told())[-1].startswith("Alarm: Redis verweigert Schreibzugriffe (NOREPLICAS)")
            scene.condition, scene.now = RedisCondition(), 60.0
            await alarm.look()
            assert (await told())[-1] == "Alarm beendet: Nach 1 min nimmt Redis wieder Befehle an."
            scene.redis_ok = False
            await alarm.look()
            scene.now += TOLD_AFTER_SECONDS
            await alarm.look()
            assert (await told())[-1].startswith("Alarm: Redis antwortet nicht.")
    finally:
        client.close()
        await bot.request.shutdown()
        server.stop()
