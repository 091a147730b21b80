"""When an outage's first call failed, and when the last job that waited for its end was finished. The release before
goes on beside it, and leaves both empty.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "outages")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
