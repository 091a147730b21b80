"""Payments in Telegram Stars, booked from a system account of their own, and refunded back to it.

The release before goes on beside it, but its `ballast import` refuses to book: it knows one account without a user.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "system_accounts", "ledger", "star_payments")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
