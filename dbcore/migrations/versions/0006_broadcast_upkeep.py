"""What an operator's word does to a broadcast it does once, and what became of recipients is not kept forever. Columns
with nothing to compute, and new functions beside the old ones, so the release before runs on.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "broadcasts")


def downgrade() -> None:
    raise NotImplementedError("what was sent stays sent: restore a backup")
