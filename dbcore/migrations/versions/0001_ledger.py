"""The ledger, its users, and what the stability system writes down."""

from __future__ import annotations

from dbcore import migration_files

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(
        revision, "tables", "append_only", "users", "ledger", "pending_transfers", "history", "health"
    )


def downgrade() -> None:
    raise NotImplementedError("a ledger is not unmade: restore a backup")
