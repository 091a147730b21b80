from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from psycopg2 import errors
from sqlalchemy import Connection, MetaData, inspect, text

from dbcore import migrate, migration_locks
from dbcore.collisions import Refused
from dbcore.guard import pool
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import audit
from dbcore.schema import TABLE_NAMES, metadata
from devstack import revision
from devstack.postgres import EmbeddedPostgres
from tests.dbcore.conftest import Person, Sql
from tests.harness.logins import as_role


def metadata_in_public() -> MetaData:
    """The models as a database without BALLAST_SCHEMA has them."""
    there = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        table.to_metadata(there, schema=None)  # type: ignore[arg-type]  # the stubs forget it
    return there


def test_the_models_say_what_the_migrations_make(database_url: str) -> None:
    with pool.single(database_url, application_name="test").connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata_in_public()) == []


def checks_of(connection: Connection) -> dict[str, set[str]]:
    inspector = inspect(connection)
    return {
        table: {f"{check['name']}: {check['sqltext']}" for check in inspector.get_check_constraints(table)}
        for table in metadata_in_public().tables
    }


def test_the_models_checks_are_the_migrations(database_url: str, sql: Sql) -> None:
    """Alembic compares no CHECK constraints, so the models are built in a schema beside and read back."""
    with pool.single(database_url, application_name="test").connect() as connection:
        migrated = checks_of(connection)
        connection.execute(text("CREATE SCHEMA beside"))
        connection.execute(text("SET LOCAL search_path = beside"))
        metadata_in_public().create_all(connection)
        built = {
            table: {f"{check['name']}: {check['sqltext']}" for check in found}
            for table, found in (
                (table, inspect(connection).get_check_constraints(table, schema="beside"))
                for table in metadata_in_public().tables
            )
        }
        connection.rollback()
    assert built == migrated
    assert migrated["accounts"]


def test_every_table_is_there(sql: Sql) -> None:
    present = {name for (name,) in sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert present == set(TABLE_NAMES)


def test_two_migrators_at_once_are_safe(empty_database_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: migrate.upgrade(empty_database_url), range(4)))
    migrate.upgrade(empty_database_url)


def test_a_migration_gives_up_on_a_table_that_is_held(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_locks, "GIVE_UP_SECONDS", 0.5)
    holder = psycopg2.connect(database_url)
    with holder.cursor() as cursor:
        cursor.execute("DELETE FROM alembic_version")
        cursor.execute("LOCK alembic_version IN ACCESS EXCLUSIVE MODE")
    holder_pid = holder.info.backend_pid
    with pytest.raises(
        Refused, match=rf"never free for 200 ms .* oldest transaction is of process {holder_pid} "
    ):
        migrate.upgrade(database_url)
    holder.close()


@pytest.mark.parametrize("table", ["transfers", "entries"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET amount = 1", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_was_written_down_stays(
    engine: GuardedEngine, person: Person, sql: Sql, table: str, statement: str
) -> None:
    person(100)
    with pytest.raises(errors.RestrictViolation, match="append-only"):
        sql(statement.format(table))


def test_the_owner_without_superpowers_may_not_even_try(
    postgres_server: EmbeddedPostgres, sql: Sql, database_url: str
) -> None:
    """Where the triggers are off, the revoked privileges still hold; and the foreign keys still work."""
    role = "owner_" + database_url.rsplit("_", 1)[1]
    database = database_url.rsplit("/", 1)[1] + "_owned"
    admin = psycopg2.connect(postgres_server.admin_url_of("postgres"))
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{role}'")
        cursor.execute(f"CREATE DATABASE {database} OWNER {role}")
    url = as_role(postgres_server.url_of(database), role)
    try:
        migrate.upgrade(url)
        owner = psycopg2.connect(url)
        owner.autocommit = True
        with owner.cursor() as cursor:
            cursor.execute("SELECT users_touch(1, NULL, 'A', 'CREDIT')")
            cursor.execute("SELECT (ledger_adjust('k', 'f', 1, NULL, 5, 'CREDIT', '', 't')).r_status")
            assert cursor.fetchone() == ("applied",)
            cursor.execute(
                "INSERT INTO admin_actions (action_id, actor, action, target, outcome, created_at) "
                "VALUES ('a', '', '', '', '', now()) ON CONFLICT (action_id) DO NOTHING"
            )
            for statement in (
                "DELETE FROM admin_actions",
                "UPDATE admin_actions SET actor = 'x'",
                "DELETE FROM entries",
                "UPDATE entries SET amount = 1",
                "DELETE FROM transfers",
            ):
                with pytest.raises(errors.InsufficientPrivilege):
                    cursor.execute(statement)
        owner.close()
    finally:
        with admin.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {database} WITH (FORCE)")
            cursor.execute(f"DROP ROLE {role}")
        admin.close()


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE accounts SET balance = -1 WHERE user_id IS NOT NULL", "accounts_balance_within_bounds"),
        ("UPDATE accounts SET balance = 0 WHERE user_id IS NULL", "accounts_house_keeps_no_balance"),
        (
            "INSERT INTO transfers (idempotency_key, fingerprint, from_account_id, amount, currency, kind, status, "
            "memo, actor) SELECT 'x', '', id, 1, currency, '', 'applied', '', '' FROM accounts LIMIT 1",
            "transfers_applied_has_accounts",
        ),
        (
            "INSERT INTO transfers (idempotency_key, fingerprint, amount, currency, kind, status, reason, memo, actor) "
            "VALUES ('x', '', 0, 'CREDIT', '', 'rejected', 'r', '', '')",
            "transfers_amount_within_bounds",
        ),
        (
            "INSERT INTO transfers (idempotency_key, fingerprint, from_account_id, amount, currency, kind, status, "
            "reason, memo, actor) SELECT 'x', '', id, 1, 'OTHER', '', 'rejected', 'r', '', '' FROM accounts LIMIT 1",
            "transfers_from_account_fkey",
        ),
        (
            "INSERT INTO entries (transfer_id, account_id, amount) SELECT t.id, a.id, 0 FROM transfers t, accounts a",
            "entries_amount_moves_something",
        ),
    ],
)
def test_the_database_itself_refuses_what_cannot_be(
    engine: GuardedEngine, person: Person, sql: Sql, statement: str, constraint: str
) -> None:
    person(100)
    with pytest.raises(psycopg2.IntegrityError) as refused:
        sql(statement)
    assert refused.value.diag.constraint_name == constraint


def test_the_schema_of_the_address_holds_everything(database_url: str) -> None:
    connection = psycopg2.connect(database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA app")
    url = f"{database_url}?schema=app"
    migrate.upgrade(url)
    assert all(finding.ok for finding in audit.audit(url))
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename IN ('entries', 'alembic_version')"
        )
        assert cursor.fetchall() == [("app",)]
    connection.close()


def test_the_run_command_knows_the_revision_without_alembic(
    database_url: str, postgres_server: EmbeddedPostgres
) -> None:
    assert revision.newest_revision() == migrate.newest_revision() == revision.revision_of(database_url)
    assert revision.revision_of(postgres_server.url_of("postgres")) is None
    assert revision.revision_of("postgresql://127.0.0.1:1/none") is None
