"""What the fleet's breaker did. A new table, so the release before runs on beside it."""

from __future__ import annotations

from alembic import op

from dbcore import migration_files

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "breaker_events")


def downgrade() -> None:
    op.drop_table("breaker_events", schema=op.get_context().opts["version_table_schema"])
