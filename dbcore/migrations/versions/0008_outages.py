"""Outages as rows, and each account's balance as it is now beside what the ledger's functions answer. A new table and a
new function, so the release before runs on.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql" / "0008"


def upgrade() -> None:
    for name in ("account_now", "outages"):
        op.get_bind().exec_driver_sql(
            (_SQL / f"{name}.sql").read_text(encoding="utf-8"), execution_options={"no_parameters": True}
        )


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
