"""Further currencies: accounts in each, made when they are first needed, and exchange between them.

The release before goes on beside it.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "currencies", "exchanges")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
