"""What `migrate` does for an operator: whose the tables are, in which schema, and the migrations."""

from __future__ import annotations

from dbcore import migrate
from dbcore.bound_bot import bind, refuse_another, refuse_second
from dbcore.collisions import Refused
from dbcore.qualified_names import is_plain_name
from dbcore.sentences import sentence
from dbcore.settings import Settings


def bring_to_this_release(
    settings: Settings, *, take_over: bool = False, move_from: str | None = None
) -> list[str]:
    """Returns notes for the operator, a line each.

    take_over -- our bot replaces the one that the tables belong to.
    move_from -- the schema that they are moved from, into BALLAST_SCHEMA.

    Raises SettingsError, Refused, SQLAlchemy's errors.
    """
    url, bot_id, schema = settings.require("database_url"), settings.bot_id, settings.ballast_schema
    if bot_id is not None and not take_over:
        refuse_another(url, bot_id, move_from or schema)
    notes = []
    if move_from is None:
        notes = [
            f"The schema {place} has tables of Ballast too. They are left alone."
            for place in refuse_second(url, bot_id, schema)
        ]
    elif schema is None or schema == move_from:
        raise Refused(
            sentence("BALLAST_SCHEMA: expected the schema that --move-from is to move the tables into")
        )
    elif not is_plain_name(move_from):
        raise Refused(sentence("--move-from: expected the name of a schema"))
    else:
        migrate.move(url, source=move_from, schema=schema)
    migrate.upgrade(url, schema=schema)
    if bot_id is not None:
        bind(url, bot_id, schema=schema, take_over=take_over)
    return notes
