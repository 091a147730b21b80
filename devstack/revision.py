"""Which migrations a database has and which there are, found out in milliseconds."""

from __future__ import annotations

from pathlib import Path

import psycopg2

import dbcore
from dbcore.qualified_names import qualified

MIGRATIONS = Path(dbcore.__file__).with_name("migrations") / "versions"


def newest_revision() -> str:
    """By the names of the files; a test compares it with Alembic's."""
    return max(file.name.partition("_")[0] for file in MIGRATIONS.glob("[0-9]*_*.py"))


def revision_of(url: str, schema: str | None = None) -> str | None:
    """None for a database that was never migrated, or that does not say. schema -- BALLAST_SCHEMA."""
    try:
        connection = psycopg2.connect(url, connect_timeout=2)
    except psycopg2.Error:
        return None
    try:
        with connection.cursor() as cursor:
            cursor.execute(qualified("SELECT version_num FROM ballast.alembic_version", schema))
            row = cursor.fetchone()
    except psycopg2.Error:
        return None
    finally:
        connection.close()
    return row[0] if row else None
