"""Payouts wait while an account is frozen, and pay a debt first; what providers told is kept for so long only;
disputes of payments are booked, and providers' lists compared with the ledger.

The release before goes on beside it.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "withdrawals", "provider_events", "disputes", "provider_book")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
