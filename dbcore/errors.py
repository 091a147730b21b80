"""What a call into the database can raise, beside the errors of the caller's own SQL, which rise untouched.

DatabaseAway                 the database did not answer this call; says the kind and when to try again
├── Unavailable              nothing was applied: never sent, rolled back, or only read
└── OutcomeUnknown           the connection was lost after the statement was sent, and no retry resolved it:
                             it may have been applied. The same idempotency key again resolves it

UsageError                   the program uses the guard in a way that cannot keep its promise: mend the program
"""

from __future__ import annotations

from dbcore.failures import FailureKind


class DatabaseAway(Exception):
    """The database gave no answer. `kind` says why, `retry_after_seconds` when trying again can make sense."""

    def __init__(self, kind: FailureKind, retry_after_seconds: float) -> None:
        # Both stay in args, so that the error survives pickling on its way through a queue's result.
        super().__init__(kind, retry_after_seconds)
        self.kind = kind
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"{type(self).__name__}: {self.kind.value}, retry after {self.retry_after_seconds:.1f} s"


class Unavailable(DatabaseAway):
    """Nothing was applied."""


class OutcomeUnknown(DatabaseAway):
    """It may have been applied. Send the same key again."""


class UsageError(Exception):
    """The program is wrong, not the database. The message says what to do instead. Never retried, never replaced by a
    default.
    """
