"""Alembic's entry. Runs on the connection that `dbcore.migrate` opened and locked, inside its transaction."""

from __future__ import annotations

from alembic import context

from dbcore.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
