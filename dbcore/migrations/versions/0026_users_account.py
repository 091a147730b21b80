"""What of a balance is held is read along with it, by a function whose plan is kept."""

from __future__ import annotations

from dbcore import migration_files

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "users_account")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
