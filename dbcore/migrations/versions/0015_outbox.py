"""Jobs that are part of a commit. A table of its own that nothing else refers to, so the release before runs on."""

from __future__ import annotations

from dbcore import migration_files

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "outbox")


def downgrade() -> None:
    raise NotImplementedError("restore a backup")
