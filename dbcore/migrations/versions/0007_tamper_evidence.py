"""The append-only triggers fire in replication mode too, and an audit leaves a trace that the next one reads.

Nothing that the release before calls changes.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "append_only", "audit_runs")


def downgrade() -> None:
    raise NotImplementedError("what audits proved is not forgotten: restore a backup")
