"""Whether the schema to migrate is Ballast's. An existing bot's database has an `alembic_version` and a table `users`
too: the first is not taken for ours, and nothing is made beside the second.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from sqlalchemy import Connection, text

from dbcore.migration_files import FOLDER
from dbcore.sentences import Explained, Sentence, sentence
from dbcore.structure import SCHEMA_HERE

_MADE = re.compile(
    r"CREATE (?:TABLE|FUNCTION) ballast\.(?P<name>\w+)|CREATE (?:UNIQUE )?INDEX (?P<index>\w+)"
    r"|CONSTRAINT (?P<constraint>\w+) (?:PRIMARY KEY|UNIQUE)"
)
_EXISTING_SQL = f"""
WITH here AS (SELECT oid FROM pg_namespace WHERE nspname = {SCHEMA_HERE})
SELECT name, bool_or(is_table)
  FROM (SELECT c.relname::text AS name, c.relkind IN ('r', 'p', 'v', 'm', 'f') AS is_table
          FROM pg_class c JOIN here ON here.oid = c.relnamespace
        UNION ALL SELECT p.proname, false FROM pg_proc p JOIN here ON here.oid = p.pronamespace
        UNION ALL SELECT t.typname, false FROM pg_type t JOIN here ON here.oid = t.typnamespace) AS found
 WHERE name = ANY(:names) GROUP BY name ORDER BY name
"""  # noqa: S608  our own text
_UNREADABLE_SQL = f"""
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = {SCHEMA_HERE} AND c.relname = 'alembic_version'
                  AND NOT has_table_privilege(c.oid, 'SELECT'))
"""  # noqa: S608  our own text
_SHOWN = 4


class Refused(Explained):
    """Nothing was migrated. It says in one line why, and what to do."""


def require_ours(
    connection: Connection, schema: str | None, versions: Collection[str], known: Collection[str]
) -> None:
    """The version table, if there is one, is Ballast's, and of a revision that this release knows.

    versions -- what it holds. known -- this release's revisions. Raises Refused.
    """
    where = _where(connection, schema)
    ours = "ledger_post" in _existing(connection, schema, ["ledger_post"])
    if versions and not ours:
        theirs = _existing(connection, schema, sorted(_made_by(known)))
        raise Refused(_belongs_to_another(schema, where, ["alembic_version", *theirs]))
    if ours and not versions:
        raise Refused(
            sentence(
                "the schema {schema} holds Ballast's tables, but not the revision they are at: restore its table "
                "alembic_version from a backup",
                schema=where,
            )
        )
    if unknown := sorted(set(versions) - set(known)):
        raise Refused(
            sentence(
                "the database is at revision {revision}, which this release does not know: a newer release migrated it",
                revision=", ".join(unknown),
            )
        )


def require_readable(connection: Connection, schema: str | None) -> None:
    """A version table that this role may not even read is another application's. Raises Refused."""
    if connection.execute(text(_UNREADABLE_SQL), {"schema": schema}).scalar():
        raise Refused(_belongs_to_another(schema, _where(connection, schema), ["alembic_version"]))


def require_room(
    connection: Connection, schema: str | None, applied: Collection[str], missing: Collection[str]
) -> None:
    """Nothing has the name of what the missing revisions make. Before the first of them: never half a migration.

    Raises Refused.
    """
    made = _made_by(missing) - _made_by(applied)
    if taken := _existing(connection, schema, sorted(made)):
        raise Refused(_belongs_to_another(schema, _where(connection, schema), taken))


def _made_by(revisions: Collection[str]) -> set[str]:
    """Names of tables, indexes and functions."""
    return {
        match["name"] or match["index"] or match["constraint"]
        for revision in revisions
        for file in (FOLDER / revision).glob("*.sql")
        for match in _MADE.finditer(file.read_text(encoding="utf-8"))
    }


def _existing(connection: Connection, schema: str | None, names: Sequence[str]) -> list[str]:
    """Which of these are there: the tables, or what else if none is one."""
    rows = connection.execute(text(_EXISTING_SQL), {"names": list(names), "schema": schema}).all()
    return [name for name, is_table in rows if is_table] or [name for name, _ in rows]


def _where(connection: Connection, schema: str | None) -> str:
    """Raises Refused where there is none."""
    found: str | None = schema or connection.execute(text("SELECT current_schema()")).scalar()
    if found is None:
        raise Refused(
            sentence(
                "DATABASE_URL: the search_path of its role names no schema that exists. Set BALLAST_SCHEMA=ballast to "
                "have Ballast's tables in a schema of their own"
            )
        )
    return found


def _belongs_to_another(schema: str | None, where: str, taken: Sequence[str]) -> Sentence:
    names: Sentence | str = ", ".join(taken[:_SHOWN])
    if len(taken) > _SHOWN:
        names = sentence("{names} and {number} more", names=names, number=len(taken) - _SHOWN)
    if schema is None:
        return sentence(
            "DATABASE_URL: the schema {schema} belongs to another application, which has {names} there. Set "
            "BALLAST_SCHEMA=ballast to have Ballast's tables in a schema of their own beside them",
            schema=where,
            names=names,
        )
    return sentence(
        "BALLAST_SCHEMA: the schema {schema} belongs to another application, which has {names} there. Name another "
        "one, which `migrate` makes, or one that is empty",
        schema=where,
        names=names,
    )
