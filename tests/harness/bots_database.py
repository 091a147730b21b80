"""An existing bot's database: what stands in it before Ballast comes, and the schema that Ballast gets."""

from __future__ import annotations

import psycopg2
import psycopg2.extensions

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


class Admin:
    """Makes and drops databases of a server that many tests share. It stays connected, for a log-in takes a third of
    what a database takes.
    """

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._url = server.admin_url_of("postgres")
        self._connection: psycopg2.extensions.connection | None = None

    def run(self, statement: str) -> None:
        try:
            self._execute(statement)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            if self._connection is not None and not self._connection.closed:
                raise
            self.close()  # a test ended the session, or killed a process of the server's, which ends all
            self._execute(statement)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _execute(self, statement: str) -> None:
        if self._connection is None:
            self._connection = psycopg2.connect(self._url)
            self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute(statement)


def run_as_admin(server: EmbeddedPostgres, database: str, *statements: str) -> None:
    connection = psycopg2.connect(server.admin_url_of(database))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()
