"""What operators did. A new table, so the release before runs on beside it."""

from __future__ import annotations

from dbcore import migration_files

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "admin_actions")


def downgrade() -> None:
    raise NotImplementedError("what was done stays written down: restore a backup")
