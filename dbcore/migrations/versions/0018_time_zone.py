"""The time zone that somebody chose. The release before goes on beside it, and leaves it alone."""

from __future__ import annotations

from dbcore import migration_files

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "time_zone")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
