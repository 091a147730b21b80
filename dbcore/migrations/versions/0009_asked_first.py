"""/credit and /debit ask first, within limits, and what Telegram says of payments is kept.

New tables and functions only, so the release before runs on beside them.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql" / "0009"


def upgrade() -> None:
    for name in ("pending_adjustments.sql", "payment_events.sql"):
        op.get_bind().exec_driver_sql(
            (_SQL / name).read_text(encoding="utf-8"), execution_options={"no_parameters": True}
        )


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
