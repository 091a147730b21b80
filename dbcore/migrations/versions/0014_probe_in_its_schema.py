"""The probe looks for tables in Ballast's schema. Its function keeps its signature, so the release before runs on."""

from __future__ import annotations

from dbcore import migration_files

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "health")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
