"""Refunds of Telegram Stars that this bot asks for: money is held first, and booked once Telegram agreed."""

from __future__ import annotations

from dbcore import migration_files

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "star_refunds", "star_payments")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
