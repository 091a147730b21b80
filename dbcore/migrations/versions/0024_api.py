"""Keys of the HTTP API, and events for programs outside. The release before goes on beside it, without them."""

from __future__ import annotations

from dbcore import migration_files

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "api_keys", "events")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
