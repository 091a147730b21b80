"""A press on Confirm that waited for the database counts from when it was made. The release before goes on beside it,
by the function that it knows.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql" / "0005"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(
        (_SQL / "pending_decide.sql").read_text(encoding="utf-8"), execution_options={"no_parameters": True}
    )


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
