"""BALLAST_SCHEMA: the schema that Ballast's tables are in."""

from __future__ import annotations

from sqlalchemy import Connection, text

from dbcore.collisions import Refused
from dbcore.schema import TABLE_NAMES
from dbcore.sentences import nsentence, sentence
from dbcore.structure import expected

_HIDDEN_SQL = """
SELECT n.nspname FROM pg_namespace n
 WHERE (current_schemas(false))[1] = :schema AND n.nspname = ANY((current_schemas(false))[2:])
   AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f'))
 LIMIT 1
"""


def make(connection: Connection, schema: str) -> None:
    """Where it is missing. Raises Refused where the role may not, or may make no table in it."""
    row = connection.execute(
        text(
            "SELECT current_user::text, quote_ident(current_user), quote_ident(current_database()), "
            "has_database_privilege(current_database(), 'CREATE'), n.oid IS NOT NULL, "
            "coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'), false) "
            "FROM (VALUES (1)) AS one LEFT JOIN pg_namespace n ON n.nspname = :schema"
        ),
        {"schema": schema},
    ).one()
    name, role, database, may_make, is_there, may_use = row
    if is_there and not may_use:
        raise Refused(
            sentence(
                "BALLAST_SCHEMA: the role {role} may not make tables in the schema {schema}. As its owner, run: {sql}",
                role=name,
                schema=schema,
                sql=f'GRANT USAGE, CREATE ON SCHEMA "{schema}" TO {role}',
            )
        )
    if not is_there and not may_make:
        raise Refused(
            sentence(
                "BALLAST_SCHEMA: there is no schema {schema}, and the role {role} may not make one. As the database's "
                "owner, run: {sql}; or {other}",
                schema=schema,
                role=name,
                sql=f'CREATE SCHEMA "{schema}" AUTHORIZATION {role}',
                other=f"GRANT CREATE ON DATABASE {database} TO {role}",
            )
        )
    if not is_there:
        connection.exec_driver_sql(f'CREATE SCHEMA "{schema}"')


def require_apart(connection: Connection, schema: str) -> None:
    """The role's bare names go on meaning another application's tables: PostgreSQL's usual search_path begins with the
    schema of the role's own name. Raises Refused.
    """
    hidden = connection.execute(text(_HIDDEN_SQL), {"schema": schema}).scalar()
    if hidden is not None:
        raise Refused(
            sentence(
                "BALLAST_SCHEMA: the role's search_path would find the schema {schema} before the tables in {other}. "
                "Choose a name that is not the role's",
                schema=schema,
                other=hidden,
            )
        )


def require_alone(connection: Connection) -> None:
    """No other process of Ballast's is connected: its statements would fail. Raises Refused."""
    others = connection.execute(
        text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name LIKE 'ballast%' AND application_name <> 'ballast migrate' AND pid <> pg_backend_pid()"
        )
    ).scalar_one()
    if others:
        raise Refused(
            nsentence(
                "Ballast has {count} connection to the database: stop all of its processes first. A pooler may keep it "
                "open: then give DATABASE_URL the server's own address",
                "Ballast has {count} connections to the database: stop all of its processes first. A pooler may keep "
                "them open: then give DATABASE_URL the server's own address",
                others,
            )
        )


def move(connection: Connection, source: str, schema: str) -> None:
    """Ballast's tables and functions go from one schema to another; what is granted on them goes along."""
    for name in TABLE_NAMES:
        connection.exec_driver_sql(f'ALTER TABLE "{source}"."{name}" SET SCHEMA "{schema}"')
    signatures = connection.execute(
        text(
            "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
            "WHERE n.nspname = :source AND p.proname = ANY(:names)"
        ),
        {"source": source, "names": list(expected().functions)},
    ).all()
    for (signature,) in signatures:
        connection.exec_driver_sql(f'ALTER FUNCTION {signature} SET SCHEMA "{schema}"')
