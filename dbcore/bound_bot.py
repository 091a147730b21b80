"""One bot per database: two bots on one would send each other's broadcasts. The first to migrate it is its bot."""

from __future__ import annotations

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from dbcore import connections
from dbcore.deadline import Deadline
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

LOOK_SECONDS_MAX = 3.0


class WrongBot(Exception):
    """The database belongs to another bot. The message says what to do."""


def refuse_another(url: str, bot_id: int) -> None:
    """Raises WrongBot if the database belongs to another bot, SQLAlchemy's errors."""
    with connections.single(url, application_name="ballast migrate").connect() as connection:
        if connection.execute(text("SELECT to_regclass('bound_bot')")).scalar() is None:
            return
        owner = connection.execute(text("SELECT bot_id FROM bound_bot")).scalar()
    if owner not in {None, bot_id}:
        raise WrongBot(
            f"DATABASE_URL: this database belongs to bot {owner}, and TELEGRAM_BOT_TOKEN is of bot {bot_id}. "
            "Give each bot its own database and its own Redis database. "
            f"If bot {bot_id} replaces bot {owner}: python -m dbcore migrate --take-over"
        )


def require_own(settings: Settings) -> None:
    """At a worker's start. A database that cannot tell in time is taken for ours: an outage must not keep the worker
    from starting, and `migrate` and each later start ask again.

    Raises WrongBot.
    """
    if settings.database_url is None or settings.bot_id is None:
        return
    try:
        with Deadline(LOOK_SECONDS_MAX):
            refuse_another(settings.database_url.get_secret_value(), settings.bot_id)
    except SQLAlchemyError as error:
        log.warning("bound_bot_unknown", error=type(error).__name__)


def bind(url: str, bot_id: int, *, take_over: bool = False) -> None:
    """Make the database this bot's. take_over -- also if it belongs to another. Raises as `refuse_another` does."""
    conflict = "DO UPDATE SET bot_id = EXCLUDED.bot_id" if take_over else "DO NOTHING"
    statement = f"INSERT INTO bound_bot (bot_id) VALUES (:bot_id) ON CONFLICT (id) {conflict}"  # noqa: S608
    with connections.single(url, application_name="ballast migrate").begin() as connection:
        connection.execute(text(statement), {"bot_id": bot_id})
    refuse_another(url, bot_id)
