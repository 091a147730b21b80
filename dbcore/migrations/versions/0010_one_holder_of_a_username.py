"""A username has one holder, the one Telegram showed it with last. The functions keep their signatures, so the release
before runs on.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "users")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
