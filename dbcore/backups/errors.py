"""What can go wrong with a backup.

BackupError       a sentence for an operator
├── BackupFailed  it was not made, or not proven: try again, or mend what the sentence names
│   └── BackupBusy    another run is making one
└── BackupDamaged it is not what was made
"""

from __future__ import annotations

from dbcore.sentences import Explained

_WORDS_MAX = 300


def words_of(error: BaseException) -> str:
    """What a database's error says, without the statement, in one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())[:_WORDS_MAX]


class BackupError(Explained):
    """Said in a sentence for an operator, without its full stop."""


class BackupFailed(BackupError):
    """It was not made, not proven, or not restored."""


class BackupBusy(BackupFailed):
    """Another run is making one of the same database."""


class BackupDamaged(BackupError):
    """It is not what was made: truncated, changed, or sealed for somebody else."""
