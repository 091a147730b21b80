"""Accounts that are frozen, transfers that are reversed, and why an operator did what.

The release before goes on beside it. It has no words for frozen accounts: what the ledger refuses for that reason is a
failed job there, so freeze nobody before all processes are of this release.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "frozen", "reversals", "admin_actions")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
