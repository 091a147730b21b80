"""Telegram's own book of Stars, for comparing it with the ledger; a chart of accounts; and seals over what was written.

The release before goes on beside it. Its imports book from `house`, those of this release from `opening`.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "star_book", "chart", "seals")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
