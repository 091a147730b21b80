"""One idempotency key is one effect, by whichever way its request comes. A function beside those that there are, so the
release before runs on.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql" / "0011"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(
        (_SQL / "one_key.sql").read_text(encoding="utf-8"), execution_options={"no_parameters": True}
    )


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
