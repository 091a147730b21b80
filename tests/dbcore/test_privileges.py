"""What a host that serves `public` as a web API grants by default is taken back; what an operator granted stays."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import psycopg2.extensions
import pytest
from psycopg2 import errors

from dbcore.ledger.audit import audit
from dbcore.migrate import upgrade
from devstack.postgres import EmbeddedPostgres

DATABASE = "served_as_an_api"
WRITER, READER = "by_hand_writer", "by_hand_reader"


@pytest.fixture
def served(postgres_server: EmbeddedPostgres) -> Iterator[psycopg2.extensions.connection]:
    """An empty database as Supabase sets one up: each new table and function is granted to `anon`."""
    server = psycopg2.connect(postgres_server.admin_url_of("postgres"))
    server.autocommit = True
    with server.cursor() as cursor:
        for role in ("anon", WRITER, READER):
            cursor.execute(f"CREATE ROLE {role} NOLOGIN")
        cursor.execute(f"CREATE DATABASE {DATABASE}")
    connection = psycopg2.connect(postgres_server.admin_url_of(DATABASE))
    connection.autocommit = True
    with connection.cursor() as cursor:
        for role in ("anon", WRITER, READER):
            cursor.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
        for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
            cursor.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON {kind} TO anon")
    yield connection
    connection.close()
    with server.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        for role in ("anon", WRITER, READER):
            cursor.execute(f"DROP ROLE {role}")
    server.close()


def test_a_web_api_reads_no_table_and_calls_no_function(
    served: psycopg2.extensions.connection, postgres_server: EmbeddedPostgres
) -> None:
    upgrade(postgres_server.admin_url_of(DATABASE))
    with served.cursor() as cursor:
        cursor.execute("SET ROLE anon")
        for statement in (
            "SELECT telegram_id, first_name, username FROM users",
            "UPDATE accounts SET balance = 1000000",
            "SELECT * FROM ledger_adjust('k1', 'f1', 8, NULL, 500, 'CREDIT', '', 'anon')",
            "SELECT nextval('transfers_id_seq')",
            "SELECT version_num FROM alembic_version",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                cursor.execute(statement)
        cursor.execute("RESET ROLE")
    assert all(finding.ok for finding in audit(postgres_server.admin_url_of(DATABASE)))


def test_what_was_granted_by_hand_stays_and_a_writer_may_still_call_the_ledger(
    served: psycopg2.extensions.connection, postgres_server: EmbeddedPostgres
) -> None:
    upgrade(postgres_server.admin_url_of(DATABASE), to="0006")
    with served.cursor() as cursor:
        cursor.execute(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {WRITER}")
        cursor.execute(f"GRANT SELECT ON users TO {READER}")
        upgrade(postgres_server.admin_url_of(DATABASE))
        cursor.execute(f"SET ROLE {WRITER}")
        cursor.execute("SELECT users_touch(1, NULL, 'A', 'CREDIT')")
        cursor.execute("SELECT (ledger_adjust('k', 'f', 1, NULL, 5, 'CREDIT', '', 't')).r_status")
        assert cursor.fetchone() == ("applied",)
        cursor.execute(f"SET ROLE {READER}")
        cursor.execute("SELECT count(*) FROM users")
        assert cursor.fetchone() == (1,)
        with pytest.raises(errors.InsufficientPrivilege):
            cursor.execute("SELECT (ledger_adjust('k2', 'f', 1, NULL, 5, 'CREDIT', '', 't')).r_status")
        cursor.execute("RESET ROLE")
