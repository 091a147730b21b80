"""Broadcasts, and what they need to know of users. The release before goes on beside it: its `users_touch` stays."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql" / "0003"
_FILES = ("tables", "users", "broadcasts")


def upgrade() -> None:
    connection = op.get_bind()
    for name in _FILES:
        connection.exec_driver_sql(
            (_SQL / f"{name}.sql").read_text(encoding="utf-8"), execution_options={"no_parameters": True}
        )


def downgrade() -> None:
    raise NotImplementedError("what was sent stays sent: restore a backup")
