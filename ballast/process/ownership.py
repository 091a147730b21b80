"""One bot per Redis database: keys and queues have no bot in their names, so two bots would do each other's jobs.

ballast:bot   string   the id of the bot that this Redis database belongs to; the first to start here sets it
"""

from __future__ import annotations

from typing import cast

import redis

from dbcore.settings import Settings

KEY = "ballast:bot"


class WrongBot(Exception):
    """This Redis database belongs to another bot. The message says what to do."""


def claim(client: redis.Redis, settings: Settings) -> None:
    """Take this Redis database for our bot. Does nothing without a bot token.

    Raises WrongBot if it belongs to another bot, redis.RedisError.
    """
    ours = settings.bot_id
    if ours is None:
        return
    owner = cast("bytes | None", client.get(KEY))
    if owner is None and not client.set(KEY, ours, nx=True):
        owner = cast("bytes | None", client.get(KEY))
    if owner is not None and owner != str(ours).encode():
        raise WrongBot(
            f"REDIS_URL: this Redis database belongs to bot {owner.decode()}, and TELEGRAM_BOT_TOKEN is of bot {ours}. "
            "Give each bot its own Redis database (such as …/1) and its own PostgreSQL database. "
            f"If bot {ours} replaces bot {owner.decode()}, delete the key {KEY} in Redis first."
        )


def hand_over(client: redis.Redis, bot_id: int) -> None:
    """Whoever owned this Redis database, it is this bot's from now on. For a Redis that nobody else can use."""
    client.set(KEY, bot_id)
