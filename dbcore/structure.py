"""What the migrations made besides tables: which functions, triggers, constraints and indexes a database must have.

Functions and triggers are read from the migrations' own SQL, constraints and indexes from dbcore/schema.py, so that
there is no second list to keep.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, text

from dbcore.schema import metadata

_SQL = Path(__file__).with_name("migrations") / "sql"
_FUNCTION = re.compile(
    r"CREATE (?:OR REPLACE )?FUNCTION (?P<name>\w+)\s*\((?P<arguments>.*?)\)\s*(?:RETURNS|LANGUAGE)\b"
    r".*?AS \$\$(?P<body>.*?)\$\$;",
    re.DOTALL,
)
_DROPPED_FUNCTION = re.compile(r"DROP FUNCTION (?:IF EXISTS )?(?P<name>\w+)")
_TRIGGER = re.compile(r"CREATE TRIGGER (?P<name>\w+)\s+BEFORE .*? ON (?P<table>\w+)\s", re.DOTALL)


@dataclass(frozen=True)
class Structure:
    """What the newest schema consists of.

    functions -- the body of each definition, by the function's name; overloads have several.
    triggers -- (table, trigger); each must fire always, in replication too.
    constraints -- (table, constraint).
    indexes -- index: whether it is unique.
    """

    functions: dict[str, frozenset[str]]
    triggers: frozenset[tuple[str, str]]
    constraints: frozenset[tuple[str, str]]
    indexes: dict[str, bool]


@cache
def expected() -> Structure:
    """Of the revision that migrate.newest_revision() names."""
    bodies: dict[str, dict[str, str]] = {}
    triggers = set()
    for file in sorted(_SQL.glob("*/*.sql")):
        source = file.read_text(encoding="utf-8")
        for dropped in _DROPPED_FUNCTION.finditer(source):
            bodies.pop(dropped["name"], None)
        for function in _FUNCTION.finditer(source):
            signature = " ".join(function["arguments"].split())
            bodies.setdefault(function["name"], {})[signature] = function["body"]
        triggers |= {(trigger["table"], trigger["name"]) for trigger in _TRIGGER.finditer(source)}
    return Structure(
        functions={name: frozenset(by_signature.values()) for name, by_signature in bodies.items()},
        triggers=frozenset(triggers),
        constraints=frozenset(
            (table.name, str(constraint.name))
            for table in metadata.tables.values()
            for constraint in table.constraints
        ),
        indexes={
            str(index.name): index.unique for table in metadata.tables.values() for index in table.indexes
        },
    )


def differences(connection: Connection) -> list[str]:
    """What of it the database lacks or has otherwise, a line each. For a database at the newest revision."""
    wanted = expected()
    found: list[str] = []
    bodies: dict[str, set[str]] = {}
    for name, body in connection.execute(
        text(
            "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace "
            "AND proname = ANY(:names)"
        ),
        {"names": list(wanted.functions)},
    ):
        bodies.setdefault(name, set()).add(body)
    for name, definitions in wanted.functions.items():
        if missing := definitions - bodies.get(name, set()):
            found.append(f"function {name}: missing or changed ({len(missing)} of {len(definitions)})")
        elif bodies[name] - definitions:
            found.append(f"function {name}: has a definition that no migration made")
    states = {
        (table, trigger): state
        for table, trigger, state in connection.execute(
            text(
                "SELECT c.relname, t.tgname, t.tgenabled::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
                "WHERE c.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal"
            )
        )
    }
    for table, trigger in sorted(wanted.triggers):
        state = states.get((table, trigger))
        if state != "A":
            found.append(
                f"trigger {trigger} on {table}: {'missing' if state is None else 'does not always fire'}"
            )
    valid = {
        (table, constraint)
        for table, constraint in connection.execute(
            text(
                "SELECT c.relname, k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid "
                "WHERE c.relnamespace = current_schema()::regnamespace AND k.convalidated"
            )
        )
    }
    found += [
        f"constraint {constraint} on {table}: missing or not validated"
        for table, constraint in sorted(wanted.constraints - valid)
    ]
    rows = connection.execute(
        text(
            "SELECT c.relname, i.indisunique FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "WHERE c.relnamespace = current_schema()::regnamespace AND i.indisvalid"
        )
    )
    unique_by_index = {row.relname: row.indisunique for row in rows}
    for index, unique in sorted(wanted.indexes.items()):
        if index not in unique_by_index:
            found.append(f"index {index}: missing or invalid")
        elif unique and not unique_by_index[index]:
            found.append(f"index {index}: not unique")
    return found
