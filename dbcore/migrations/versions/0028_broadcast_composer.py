"""Broadcasts have more kinds of segments, a canary that waits for a word, and two texts side by side."""

from __future__ import annotations

from dbcore import migration_files

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "broadcasts")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
