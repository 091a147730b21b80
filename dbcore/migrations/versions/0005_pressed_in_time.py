"""A press on Confirm that waited for the database counts from when it was made. The release before goes on beside it,
by the function that it knows.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "pending_decide")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
