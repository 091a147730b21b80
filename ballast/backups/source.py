"""Which database is backed up: the one of the settings, or where a move has brought it since."""

from __future__ import annotations

from contextlib import suppress

import redis
from sqlalchemy.exc import SQLAlchemyError

from dbcore.guard import pool
from dbcore.moving import heeding, whereabouts
from dbcore.moving.sealing import Unreadable
from dbcore.settings import Settings


def database(settings: Settings, client: redis.Redis | None) -> str:
    """Its address by now. Processes follow a move by themselves (dbcore/moving), programs such as pg_dump do not.

    It is the notice in the old database that tells, or Redis if that server is gone. Raises SQLAlchemy's errors,
    SettingsError.
    """
    if settings.telegram_bot_token is not None:
        whereabouts.note_token(settings.telegram_bot_token.get_secret_value())
    source = settings.backup_source
    configured = source if settings.database_url is None else settings.require("database_url")
    if client is not None:
        with suppress(redis.RedisError, Unreadable):
            heeding.follow_record(client, configured)
    try:
        with pool.single(source, application_name="ballast backup").connect():
            return whereabouts.current(source)
    except SQLAlchemyError:
        if whereabouts.current(configured) == configured:
            raise
        return whereabouts.current(configured)
