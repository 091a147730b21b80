"""/credit and /debit ask first, within limits, and what Telegram says of payments is kept.

New tables and functions only, so the release before runs on beside them.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "pending_adjustments", "payment_events")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
