"""The check of what is held is proved of old accounts too: in a transaction of its own, while money moves."""

from __future__ import annotations

from dbcore import migration_files

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "held_checked")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
