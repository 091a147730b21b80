"""One idempotency key is one effect, by whichever way its request comes. A function beside those that there are, so the
release before runs on.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "one_key")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
