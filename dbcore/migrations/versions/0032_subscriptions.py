"""Subscriptions by Telegram Stars: their payments are the bot's revenue, and what Telegram says of them is kept, as
is what it says of gifts and paid media.

The release before goes on beside it.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "subscriptions", "refunds", "star_reports")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
