"""What an operator's word does to a broadcast it does once, and what became of recipients is not kept for ever. Columns
with nothing to compute, and new functions beside the old ones, so the release before runs on.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql" / "0006"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(
        (_SQL / "broadcasts.sql").read_text(encoding="utf-8"), execution_options={"no_parameters": True}
    )


def downgrade() -> None:
    raise NotImplementedError("what was sent stays sent: restore a backup")
