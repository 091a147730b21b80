"""What `Guard.transact` did under which key. A table and a function of their own that nothing else refers to, so the
release before runs on.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "effects")


def downgrade() -> None:
    raise NotImplementedError("restore a backup")
