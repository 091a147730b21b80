"""What operators did. A new table, so the release before runs on beside it."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql" / "0004"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(
        (_SQL / "admin_actions.sql").read_text(encoding="utf-8"), execution_options={"no_parameters": True}
    )


def downgrade() -> None:
    raise NotImplementedError("what was done stays written down: restore a backup")
