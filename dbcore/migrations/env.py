"""Alembic's entry, for Ballast's migrations and for those of apps. Runs on the connection that `dbcore.migrate` opened
and locked, inside its transaction.
"""

from __future__ import annotations

from alembic import context

from dbcore.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=context.config.attributes.get("version_table", "alembic_version"),
    version_table_schema=context.config.attributes["schema"],
)
with context.begin_transaction():
    context.run_migrations()
