"""An existing bot's database: what stands in it before Ballast comes, and the schema that Ballast gets."""

from __future__ import annotations

import psycopg2

from devstack.postgres import EmbeddedPostgres

SCHEMA = "bots_ballast"  # by the name of its role PostgreSQL would find it

THE_BOTS_OWN = """
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('e5f6a7b8c9d0');
CREATE TABLE users (telegram_id bigint PRIMARY KEY, balance numeric NOT NULL DEFAULT 0);
INSERT INTO users VALUES (7, 12.50), (8, 0);
"""


def clone(name: str, template: str) -> str:
    """SQL that makes a database like another one. Copying its files costs half of writing it all to the log."""
    return f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"


def run_as_admin(server: EmbeddedPostgres, database: str, *statements: str) -> None:
    connection = psycopg2.connect(server.admin_url_of(database))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()
