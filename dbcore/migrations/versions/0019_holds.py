"""Money that is held stays on its account, and nothing else can take it: funds are checked against what is left.

The release before goes on beside it: it holds nothing itself, and its functions of the ledger are these.
"""

from __future__ import annotations

from dbcore import migration_files

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_files.run(revision, "holds", "ledger", "ending_holds", "asking")


def downgrade() -> None:
    raise NotImplementedError("the release before runs on this schema: there is nothing to take back")
