"""Payments by providers beside Telegram, each with an account of its own.

The release before goes on beside it.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "provider_payments", "ledger")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
