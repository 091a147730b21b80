"""One bot per database: two bots on one would send each other's broadcasts. The first to migrate it is its bot."""

from __future__ import annotations

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from dbcore.collisions import Refused
from dbcore.guard import pool
from dbcore.guard.deadline import Deadline
from dbcore.qualified_names import qualified
from dbcore.sentences import sentence
from dbcore.settings import Settings
from dbcore.structure import SCHEMA_HERE

log = structlog.get_logger(__name__)

LOOK_SECONDS_MAX = 3.0

_IS_BOUND_SQL = """
SELECT CASE WHEN CAST(:schema AS text) IS NULL
                 OR EXISTS (SELECT FROM pg_namespace n
                             WHERE n.nspname = :schema AND has_schema_privilege(n.oid, 'USAGE'))
            THEN to_regclass(:table) IS NOT NULL AND to_regproc(:function) IS NOT NULL END
"""
"""Without a right to the schema these two would fail. Another application may have a table of that name."""
_ELSEWHERE_SQL = f"""
SELECT n.nspname, quote_ident(n.nspname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relname = 'bound_bot' AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
   AND n.oid IN (SELECT pronamespace FROM pg_proc WHERE proname = 'ledger_post')
   AND NOT EXISTS (SELECT FROM pg_proc p JOIN pg_namespace here ON here.oid = p.pronamespace
                    WHERE p.proname = 'ledger_post' AND here.nspname = {SCHEMA_HERE})
 ORDER BY 1
"""  # noqa: S608  our own text
"""Other schemas with Ballast's tables, where this one has none."""


class WrongBot(Refused):
    """The database belongs to another bot. It says what to do."""


def refuse_another(url: str, bot_id: int, schema: str | None = None) -> bool:
    """Whether there are tables. Raises WrongBot if they belong to another bot, SQLAlchemy's errors.

    schema -- BALLAST_SCHEMA.
    """
    with pool.single(url, application_name="ballast migrate").connect() as connection:
        names = {
            "table": qualified("ballast.bound_bot", schema),
            "function": qualified("ballast.ledger_post", schema),
        }
        if not connection.execute(text(_IS_BOUND_SQL), {**names, "schema": schema}).scalar():
            return False
        owner = connection.execute(text(qualified("SELECT bot_id FROM ballast.bound_bot", schema))).scalar()
    if owner not in {None, bot_id}:
        raise WrongBot(
            sentence(
                "DATABASE_URL: this database belongs to bot {owner}, and TELEGRAM_BOT_TOKEN is of bot {bot}. Give each "
                "bot its own database, or its own BALLAST_SCHEMA, and its own Redis database. If bot {bot} replaces "
                "bot {owner}: {command}",
                owner=str(owner),
                bot=str(bot_id),
                command="python -m dbcore migrate --take-over",
            )
        )
    return True


def where_else(settings: Settings) -> str | None:
    """Why Ballast's tables are not found: what is to be set, or done. None if they are there, or if a database that
    does not answer in time cannot tell.
    """
    schema, url = settings.ballast_schema, settings.require("database_url")
    is_set = "BALLAST_SCHEMA is not set" if schema is None else f"BALLAST_SCHEMA is {schema}"
    try:
        with (
            Deadline(LOOK_SECONDS_MAX),
            pool.single(url, application_name="ballast").connect() as found,
        ):
            place = found.execute(text(_ELSEWHERE_SQL), {"schema": schema}).scalar()
            here = qualified("ballast.ledger_post", schema)
            if found.execute(text("SELECT to_regproc(:function)"), {"function": here}).scalar() is not None:
                return None
    except SQLAlchemyError as error:
        log.warning("schema_unknown", error=type(error).__name__)
        return None
    if place is None:
        return f"{is_set}, and this database has none of Ballast's tables: run `ballast migrate`"
    return f"{is_set}, and Ballast's tables are in the schema {place}: set BALLAST_SCHEMA={place}"


def refuse_second(url: str, bot_id: int | None, schema: str | None) -> list[str]:
    """A changed BALLAST_SCHEMA is not to make this bot a second, empty set of tables.

    Returns other schemas with tables that may be this bot's, for their bot or this one is unknown. Raises Refused.
    """
    maybe_ours = []
    with pool.single(url, application_name="ballast migrate").connect() as connection:
        for place, quoted in connection.execute(text(_ELSEWHERE_SQL), {"schema": schema}).all():
            statement = f"SELECT bot_id FROM {quoted}.bound_bot"  # noqa: S608  quoted by the server
            owner = connection.execute(text(statement)).scalar()
            if owner is None or bot_id is None:
                maybe_ours.append(place)
            elif owner == bot_id and schema is None:
                raise Refused(
                    sentence(
                        "BALLAST_SCHEMA is not set, and bot {bot} has its tables in the schema {schema} of this "
                        "database: set {option}",
                        bot=str(bot_id),
                        schema=place,
                        option=f"BALLAST_SCHEMA={place}",
                    )
                )
            elif owner == bot_id:
                raise Refused(
                    sentence(
                        "BALLAST_SCHEMA is {own}, and bot {bot} has its tables in the schema {schema} of this "
                        "database. Set {option}; or stop Ballast and move them: {command}",
                        own=schema,
                        bot=str(bot_id),
                        schema=place,
                        option=f"BALLAST_SCHEMA={place}",
                        command=f"python -m dbcore migrate --move-from {place}",
                    )
                )
    return maybe_ours


def require_own(settings: Settings) -> None:
    """At a worker's start. A database that cannot tell in time is taken for ours: an outage must not keep the worker
    from starting, and `migrate` and each later start ask again.

    Raises WrongBot, and Refused if our tables are in another schema.
    """
    if settings.database_url is None or settings.bot_id is None:
        return
    try:
        with Deadline(LOOK_SECONDS_MAX):
            asked = settings.database_url.get_secret_value(), settings.bot_id, settings.ballast_schema
            if not refuse_another(*asked):
                refuse_second(*asked)
    except SQLAlchemyError as error:
        log.warning("bound_bot_unknown", error=type(error).__name__)


def bind(url: str, bot_id: int, *, schema: str | None = None, take_over: bool = False) -> None:
    """Make the database this bot's. take_over -- also if it belongs to another. Raises as `refuse_another` does."""
    conflict = "DO UPDATE SET bot_id = EXCLUDED.bot_id" if take_over else "DO NOTHING"
    statement = f"INSERT INTO ballast.bound_bot (bot_id) VALUES (:bot_id) ON CONFLICT (id) {conflict}"  # noqa: S608
    with pool.single(url, application_name="ballast migrate").begin() as connection:
        connection.execute(text(qualified(statement, schema)), {"bot_id": bot_id})
    refuse_another(url, bot_id, schema)
