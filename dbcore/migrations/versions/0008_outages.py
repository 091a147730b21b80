"""Outages as rows, and each account's balance as it is now beside what the ledger's functions answer. A new table and a
new function, so the release before runs on.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "account_now", "outages")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
