"""Withdrawals: money is held, approved, paid out by an adapter and booked, or returned.

The release before goes on beside it.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "withdrawals", "ledger")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
