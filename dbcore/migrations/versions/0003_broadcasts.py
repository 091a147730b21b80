"""Broadcasts, and what they need to know of users. The release before goes on beside it: its `users_touch` stays."""

from __future__ import annotations

from dbcore import migration_files

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "tables", "users", "broadcasts")


def downgrade() -> None:
    raise NotImplementedError("what was sent stays sent: restore a backup")
