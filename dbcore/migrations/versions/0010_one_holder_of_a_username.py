"""A username has one holder, the one Telegram showed it with last. The functions keep their signatures, so the release
before runs on.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql" / "0010"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(
        (_SQL / "users.sql").read_text(encoding="utf-8"), execution_options={"no_parameters": True}
    )


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
