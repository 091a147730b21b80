"""The ledger, its users, and what the stability system writes down.

The SQL lies in `sql/0001/`, whole functions a file. A later revision that changes a function brings its new
text in its own folder, so that this one always installs what it installed.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql" / "0001"
_FILES = ("tables", "append_only", "users", "ledger", "pending_transfers", "history", "health")


def upgrade() -> None:
    connection = op.get_bind()
    for name in _FILES:
        # no_parameters: a percent sign in SQL is not a placeholder of psycopg2's.
        connection.exec_driver_sql(
            (_SQL / f"{name}.sql").read_text(encoding="utf-8"), execution_options={"no_parameters": True}
        )


def downgrade() -> None:
    raise NotImplementedError("a ledger is not unmade: restore a backup")
