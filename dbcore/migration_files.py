"""Runs the migrations' SQL. It lies in `migrations/sql/<revision>/`, whole functions per file; a later revision that
changes a function brings its new text in its own folder, so that each revision always installs what it installed.
"""

from __future__ import annotations

from pathlib import Path

from dbcore.qualified_names import qualified

FOLDER = Path(__file__).with_name("migrations") / "sql"


def text_of(revision: str) -> str:
    """All SQL of a revision, its tables being called `ballast.users`."""
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted((FOLDER / revision).glob("*.sql")))


def run(revision: str, *names: str) -> None:
    """In the schema that is migrated."""
    from alembic import op  # who looks only for the files, as each worker does, needs none of it

    schema = op.get_context().opts["version_table_schema"]
    for name in names:
        sql = (FOLDER / revision / f"{name}.sql").read_text(encoding="utf-8")
        # no_parameters: a percent sign in SQL is not a placeholder of psycopg2's.
        op.get_bind().exec_driver_sql(qualified(sql, schema), execution_options={"no_parameters": True})
