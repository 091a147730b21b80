"""Which bot a database belongs to. A table of its own that nothing else refers to, so the release before runs on."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE bound_bot (
            id smallint PRIMARY KEY DEFAULT 1 CONSTRAINT bound_bot_is_one CHECK (id = 1),
            bot_id bigint NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup")
