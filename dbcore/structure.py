"""What the migrations made besides tables: which functions, triggers, constraints and indexes a database must have.

Functions and triggers are read from the migrations' own SQL, constraints and indexes from dbcore/schema.py, so that
there is no second list to keep.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from sqlalchemy import Connection, text

from dbcore.migration_files import FOLDER
from dbcore.qualified_names import qualified
from dbcore.schema import TABLE_NAMES, metadata

_FUNCTION = re.compile(
    r"CREATE (?:OR REPLACE )?FUNCTION ballast\.(?P<name>\w+)\s*\((?P<arguments>.*?)\)\s*(?:RETURNS|LANGUAGE)\b"
    r".*?AS \$\$(?P<body>.*?)\$\$;",
    re.DOTALL,
)
_DROPPED_FUNCTION = re.compile(r"DROP FUNCTION (?:IF EXISTS )?ballast\.(?P<name>\w+)")
_TRIGGER = re.compile(
    r"CREATE TRIGGER (?P<name>\w+)\s+(?P<time>BEFORE|AFTER) .*? ON ballast\.(?P<table>\w+)\s", re.DOTALL
)

SCHEMA_HERE = "coalesce(CAST(:schema AS text), current_schema())"
"""In SQL: the schema that Ballast's tables are in."""


@dataclass(frozen=True)
class Function:
    """One definition of a function; overloads have several. sql -- the statement that makes it."""

    name: str
    body: str
    sql: str


@dataclass(frozen=True)
class Structure:
    """What the newest schema consists of.

    triggers -- (table, trigger): whether it must fire in replication too, as those that refuse a change; what others
        write is replicated by itself.
    constraints -- (table, constraint).
    indexes -- index: whether it is unique.
    """

    definitions: tuple[Function, ...]
    triggers: dict[tuple[str, str], bool]
    constraints: frozenset[tuple[str, str]]
    indexes: dict[str, bool]

    @property
    def functions(self) -> dict[str, frozenset[str]]:
        """The bodies of each function, by its name."""
        bodies: dict[str, set[str]] = {}
        for function in self.definitions:
            bodies.setdefault(function.name, set()).add(function.body)
        return {name: frozenset(of_it) for name, of_it in bodies.items()}


@cache
def expected(schema: str | None = None) -> Structure:
    """Of the revision that migrate.newest_revision() names. schema -- BALLAST_SCHEMA."""
    functions: dict[str, dict[str, Function]] = {}
    triggers: dict[tuple[str, str], bool] = {}
    for file in sorted(FOLDER.glob("*/*.sql")):
        source = file.read_text(encoding="utf-8")
        for dropped in _DROPPED_FUNCTION.finditer(source):
            functions.pop(dropped["name"], None)
        for found in _FUNCTION.finditer(source):
            signature = " ".join(found["arguments"].split())
            function = Function(found["name"], qualified(found["body"], schema), qualified(found[0], schema))
            functions.setdefault(function.name, {})[signature] = function
        triggers |= {
            (trigger["table"], trigger["name"]): trigger["time"] == "BEFORE"
            for trigger in _TRIGGER.finditer(source)
        }
    return Structure(
        definitions=tuple(
            function for by_signature in functions.values() for function in by_signature.values()
        ),
        triggers=triggers,
        constraints=frozenset(
            (table.name, str(constraint.name))
            for table in metadata.tables.values()
            for constraint in table.constraints
        ),
        indexes={
            str(index.name): index.unique for table in metadata.tables.values() for index in table.indexes
        },
    )


def _bodies(connection: Connection, schema: str | None) -> dict[str, set[str]]:
    """Of the functions that are there."""
    bodies: dict[str, set[str]] = {}
    for name, body in connection.execute(
        text(
            f"SELECT p.proname, p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "  # noqa: S608
            f"WHERE n.nspname = {SCHEMA_HERE} AND p.proname = ANY(:names)"
        ),
        {"names": list(expected().functions), "schema": schema},
    ):
        bodies.setdefault(name, set()).add(body)
    return bodies


def requalify(connection: Connection, schema: str | None) -> None:
    """Install again the functions that still look where Ballast's tables were before they were moved to this schema.
    For a database at the newest revision.
    """
    wanted = expected(schema)
    names = "|".join([*TABLE_NAMES, *wanted.functions])
    prefix = re.compile(rf"""(?:"\w+"|\b\w+)\.(?=(?:{names})\b|')""")
    there = _bodies(connection, schema)
    for function in wanted.definitions:
        bodies = there.get(function.name, set())
        if function.body not in bodies and prefix.sub("", function.body) in {
            prefix.sub("", body) for body in bodies
        }:
            connection.exec_driver_sql(
                re.sub(r"^CREATE (OR REPLACE )?", "CREATE OR REPLACE ", function.sql),
                execution_options={"no_parameters": True},
            )


def differences(connection: Connection, schema: str | None = None) -> list[str]:
    """What of it the database lacks or has otherwise, a line each. For a database at the newest revision."""
    wanted = expected(schema)
    found: list[str] = []
    bodies = _bodies(connection, schema)
    for name, definitions in wanted.functions.items():
        if missing := definitions - bodies.get(name, set()):
            found.append(f"function {name}: missing or changed ({len(missing)} of {len(definitions)})")
        elif bodies[name] - definitions:
            found.append(f"function {name}: has a definition that no migration made")
    states = {
        (table, trigger): state
        for table, trigger, state in connection.execute(
            text(
                "SELECT c.relname, t.tgname, t.tgenabled::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "  # noqa: S608
                f"JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {SCHEMA_HERE} AND NOT t.tgisinternal"
            ),
            {"schema": schema},
        )
    }
    for (table, trigger), in_replication in sorted(wanted.triggers.items()):
        state = states.get((table, trigger))
        if state is None:
            found.append(f"trigger {trigger} on {table}: missing")
        elif in_replication and state != "A":
            found.append(f"trigger {trigger} on {table}: does not always fire")
        elif not in_replication and state != "O":
            found.append(f"trigger {trigger} on {table}: is off, or fires in replication")
    valid = {
        (table, constraint)
        for table, constraint in connection.execute(
            text(
                "SELECT c.relname, k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid "  # noqa: S608
                f"JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {SCHEMA_HERE} AND k.convalidated"
            ),
            {"schema": schema},
        )
    }
    found += [
        f"constraint {constraint} on {table}: missing or not validated"
        for table, constraint in sorted(wanted.constraints - valid)
    ]
    rows = connection.execute(
        text(
            "SELECT c.relname, i.indisunique FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "  # noqa: S608
            f"JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {SCHEMA_HERE} AND i.indisvalid"
        ),
        {"schema": schema},
    )
    unique_by_index = {row.relname: row.indisunique for row in rows}
    for index, unique in sorted(wanted.indexes.items()):
        if index not in unique_by_index:
            found.append(f"index {index}: missing or invalid")
        elif unique and not unique_by_index[index]:
            found.append(f"index {index}: not unique")
    return found
