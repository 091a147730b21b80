"""Which bot a database belongs to. A table of its own that nothing else refers to, so the release before runs on."""

from __future__ import annotations

from dbcore import migration_files

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "bound_bot")


def downgrade() -> None:
    raise NotImplementedError("restore a backup")
