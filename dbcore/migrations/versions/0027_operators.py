"""Roles of operators, and the audit log searched."""

from __future__ import annotations

from dbcore import migration_files

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "operators")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
