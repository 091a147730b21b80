"""The notice in an old database: it says where the database went, and every write is refused by a trigger.

The notice is the one truth about which database is in charge: without it the old one is, with it the new one. It is
committed together with the triggers, while the tables are locked against writes (hold.py), so nothing is written after
the copy. The triggers are the tables' own, so they hold against a process that slept through the move, behind any
pooler and for every role. `default_transaction_read_only` beside them is no fence: the server tells it to each new
connection without being asked, and so a client knows when to look for the notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg2

from dbcore.moving import whereabouts
from dbcore.moving.refusal import REFUSAL
from dbcore.moving.role_defaults import set_default
from dbcore.moving.sealing import Unreadable, unseal
from dbcore.qualified_names import qualified

if TYPE_CHECKING:
    from sqlalchemy import Connection

TABLE = "ballast_moved"
_LOOK = "/* moved? */"
_FIND = f"""{_LOOK}
SELECT format('%I.%I', n.nspname, c.relname), n.nspname FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relname = '{TABLE}' AND c.relkind = 'r' AND has_table_privilege(c.oid, 'SELECT')
   AND has_schema_privilege(n.oid, 'USAGE')
"""  # noqa: S608  our own text
_MAKE = f"""
CREATE TABLE ballast.{TABLE} (
    move_id text PRIMARY KEY,
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    moved_to text NOT NULL,
    sealed text NOT NULL
)
"""
_INSERT = f"INSERT INTO ballast.{TABLE} (move_id, moved_to, sealed) VALUES (:move_id, :moved_to, :sealed)"  # noqa: S608
_FUNCTION = f"""
CREATE FUNCTION ballast.{TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '{REFUSAL} %', TG_ARGV[0]
        USING ERRCODE = '25006', HINT = 'Set DATABASE_URL to the new address.';
END $$
"""


@dataclass(frozen=True, slots=True)
class Notice:
    """moved_to -- host, port and database, for people. sealed -- the new address (sealing.py)."""

    move_id: str
    moved_to: str
    sealed: str


class MovedAway(psycopg2.OperationalError):
    """The database was moved, and this process cannot follow. The message says what to do."""


def read(connection: Any, schema: str | None = None) -> Notice | None:
    """By a connection of psycopg2's, which is in no transaction afterwards. schema -- BALLAST_SCHEMA, where it is
    known: of several bots' notices in one database it tells ours.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute(_FIND)
            found = cursor.fetchall()
            if len(found) > 1:
                found = [row for row in found if row[1] == schema]
            if len(found) != 1:
                return None
            cursor.execute(f"SELECT move_id, moved_to, sealed FROM {found[0][0]}")  # noqa: S608  quoted by the server
            row = cursor.fetchone()
            return None if row is None else Notice(*row)
    finally:
        connection.rollback()


def follow(notice: Notice, url: str) -> None:
    """From now on this process connects to where the database went. Raises MovedAway if it cannot open the address."""
    try:
        to = unseal(notice.sealed, whereabouts.secrets_of(url))
    except Unreadable as error:
        raise MovedAway(
            f"{REFUSAL} {notice.moved_to}, and the new address cannot be opened here ({error}): set DATABASE_URL to it"
        ) from error
    whereabouts.note(url, to)


def post(connection: Connection, notice: Notice, tables: Sequence[str], schema: str | None) -> None:
    """Refuse every write from the COMMIT on. For a transaction that holds the tables' locks already.

    tables -- quoted, with their schemas. schema -- BALLAST_SCHEMA.
    """
    from sqlalchemy import text  # frontends read notices and post none

    run = connection.exec_driver_sql
    run(qualified(_MAKE, schema))
    run(qualified(f"REVOKE ALL ON ballast.{TABLE} FROM PUBLIC", schema))
    connection.execute(
        text(qualified(_INSERT, schema)),
        {"move_id": notice.move_id, "moved_to": notice.moved_to, "sealed": notice.sealed},
    )
    run(qualified(_FUNCTION, schema), execution_options={"no_parameters": True})
    place = notice.moved_to.replace("'", "''")
    refuse = qualified(f"ballast.{TABLE}_refuse", schema)
    for table in tables:
        run(
            f"CREATE TRIGGER {TABLE} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {refuse}('{place}')",
            execution_options={"no_parameters": True},
        )
        run(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {TABLE}", execution_options={"no_parameters": True})


def mark_read_only(connection: Connection) -> None:
    """Each new connection of this role hears that it can only read, and looks for the notice."""
    set_default(connection, "default_transaction_read_only", "on")
