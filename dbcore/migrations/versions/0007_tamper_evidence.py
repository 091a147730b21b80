"""The append-only triggers fire in replication mode too, and an audit leaves a trace that the next one reads.

Nothing that the release before calls changes.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql" / "0007"


def upgrade() -> None:
    for file in ("append_only.sql", "audit_runs.sql"):
        op.get_bind().exec_driver_sql(
            (_SQL / file).read_text(encoding="utf-8"), execution_options={"no_parameters": True}
        )


def downgrade() -> None:
    raise NotImplementedError("what audits proved is not forgotten: restore a backup")
