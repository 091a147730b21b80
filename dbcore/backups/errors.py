"""What can go wrong with a backup.

BackupError       a sentence for an operator
├── BackupFailed  it was not made, or not proven: try again, or mend what the sentence names
│   └── BackupBusy    another run is making one
└── BackupDamaged it is not what was made
"""

from __future__ import annotations


class BackupError(Exception):
    """The message is a sentence for an operator, without its full stop."""


class BackupFailed(BackupError):
    """It was not made, not proven, or not restored."""


class BackupBusy(BackupFailed):
    """Another run is making one of the same database."""


class BackupDamaged(BackupError):
    """It is not what was made: truncated, changed, or sealed for somebody else."""
