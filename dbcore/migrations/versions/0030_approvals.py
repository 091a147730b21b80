"""Approvals of credits and debits above an operator's limits, which what they do on the page counts in too.

The release before goes on beside it.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "approvals")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
