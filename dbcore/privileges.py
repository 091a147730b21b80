"""Nobody but the owner, and whom an operator granted it by hand, reads a table of Ballast's or calls a function of it.

Some hosts serve the schema `public` as a web API and grant each new table to the roles of that API by default; and
PostgreSQL lets everybody call a new function. Both are taken back after each migration.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from dbcore.schema import TABLE_NAMES
from dbcore.structure import SCHEMA_HERE, expected

API_ROLES = ("anon", "anonymous", "authenticated", "service_role", "web_anon")
"""The roles of Supabase's, Neon's and PostgREST's web APIs, as their documentation names them."""

_RELATIONS = f"""
    SELECT c.oid, c.relkind::text, c.relname, c.relowner, c.relacl FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = {SCHEMA_HERE}
       AND (c.relkind = 'r' AND c.relname = ANY(:tables)
            OR c.relkind = 'S' AND EXISTS (
               SELECT FROM pg_depend d JOIN pg_class owner ON owner.oid = d.refobjid
                WHERE d.objid = c.oid AND d.deptype IN ('a', 'i') AND owner.relname = ANY(:tables)))
"""  # noqa: S608  our own text
_FUNCTIONS = f"""
    SELECT p.oid, p.oid::regprocedure::text AS signature, p.proowner, p.proacl FROM pg_proc p
      JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = {SCHEMA_HERE} AND p.proname = ANY(:functions)
"""  # noqa: S608
_TO_OTHERS = "(g.grantee = 0 OR g.grantee IN (SELECT oid FROM pg_roles WHERE rolname = ANY(:roles)))"
_OPEN_RELATIONS = f"""
    SELECT relation.oid::regclass::text AS name, relation.relname, relation.relkind, g.grantee
      FROM ({_RELATIONS}) AS relation, aclexplode(relation.relacl) AS g WHERE {_TO_OTHERS}
"""  # noqa: S608  our own text
_OPEN_FUNCTIONS = f"""
    SELECT function.signature, g.grantee
      FROM ({_FUNCTIONS}) AS function,
           aclexplode(coalesce(function.proacl, acldefault('f', function.proowner))) AS g WHERE {_TO_OTHERS}
"""  # noqa: S608
OPEN = f"""
    SELECT format('%s: open to %s', relname, coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC'))
      FROM ({_OPEN_RELATIONS}) AS relation
    UNION
    SELECT format('%s: open to %s', signature, coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC'))
      FROM ({_OPEN_FUNCTIONS}) AS function
     ORDER BY 1
"""  # noqa: S608
_HAND_GRANTED = f"""
    SELECT DISTINCT quote_ident(r.rolname) FROM ({_RELATIONS}) AS relation, aclexplode(relation.relacl) AS g
      JOIN pg_roles r ON r.oid = g.grantee
     WHERE relation.relname = 'transfers' AND g.privilege_type = 'INSERT' AND g.grantee <> relation.relowner
       AND r.rolname <> ALL(:roles)
"""  # noqa: S608


_WHAT_TRIGGERS_NEED = {"events": "INSERT", "events_wanted": "SELECT"}
"""Of whoever writes to the ledger, by its tables."""


def _names(schema: str | None) -> dict[str, list[str] | str | None]:
    return {
        "tables": list(TABLE_NAMES),
        "functions": list(expected().functions),
        "roles": list(API_ROLES),
        "schema": schema,
    }


def open_to_others(connection: Connection, schema: str | None = None) -> list[str]:
    """Each table, sequence and function that everybody or a web API's role may use, a line each."""
    return [line for (line,) in connection.execute(text(OPEN), _names(schema))]


def close_to_others(connection: Connection, schema: str | None = None) -> None:
    """Take it back. A role that an operator let write to the ledger may call its functions, also new ones."""
    names = _names(schema)

    def rows(statement: str) -> list[tuple[str, ...]]:
        return [tuple(row) for row in connection.execute(text(statement), names)]

    functions = rows(f"SELECT DISTINCT signature FROM ({_OPEN_FUNCTIONS}) AS f")  # noqa: S608
    relations = rows(f"SELECT DISTINCT name, relkind FROM ({_OPEN_RELATIONS}) AS r")  # noqa: S608
    if not functions and not relations:
        return
    roles = [
        name for (name,) in rows("SELECT quote_ident(rolname) FROM pg_roles WHERE rolname = ANY(:roles)")
    ]
    others = ", ".join(["PUBLIC", *roles])
    writers = ", ".join(name for (name,) in rows(_HAND_GRANTED))
    if writers:
        for (table,) in rows(f"SELECT oid::regclass::text FROM ({_RELATIONS}) AS r WHERE relkind = 'r'"):  # noqa: S608
            if needed := _WHAT_TRIGGERS_NEED.get(table.rpartition(".")[2].strip('"')):
                connection.exec_driver_sql(f"GRANT {needed} ON TABLE {table} TO {writers}")
        all_functions = ", ".join(name for (name,) in rows(f"SELECT signature FROM ({_FUNCTIONS}) AS f"))  # noqa: S608
        connection.exec_driver_sql(f"GRANT EXECUTE ON FUNCTION {all_functions} TO {writers}")
    for sort, open_ones in (
        ("FUNCTION", [name for (name,) in functions]),
        ("TABLE", [name for name, kind in relations if kind == "r"]),
        ("SEQUENCE", [name for name, kind in relations if kind == "S"]),
    ):
        if open_ones:
            connection.exec_driver_sql(f"REVOKE ALL ON {sort} {', '.join(open_ones)} FROM {others}")
