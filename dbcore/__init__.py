"""A guarded PostgreSQL, usable without Redis and Telegram. These names are the public API; see docs/guard.md.

They are imported when they are first used, so that a process that only reads settings loads no SQLAlchemy, and one
without the extra `flask` needs no Flask.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbcore.errors import DatabaseAway, OutcomeUnknown, Unavailable, UsageError
    from dbcore.failures import FailureKind
    from dbcore.guard.aio import AsyncGuard
    from dbcore.guard.attached import attach_engine
    from dbcore.guard.batch import BatchTx
    from dbcore.guard.flask import GuardedSQLAlchemy
    from dbcore.guard.guard import Guard
    from dbcore.guard.ledger import Adjustment, Held, Moved, Transfer
    from dbcore.guard.reading import Known
    from dbcore.guard.refusal import Refuse
    from dbcore.guard.retries import RetryPolicy
    from dbcore.guard.transaction import Effect, Tx
    from dbcore.last_known import LAST_KNOWN
    from dbcore.settings import SettingsError

__all__ = [
    "LAST_KNOWN",
    "Adjustment",
    "AsyncGuard",
    "BatchTx",
    "DatabaseAway",
    "Effect",
    "FailureKind",
    "Guard",
    "GuardedSQLAlchemy",
    "Held",
    "Known",
    "Moved",
    "OutcomeUnknown",
    "Refuse",
    "RetryPolicy",
    "SettingsError",
    "Transfer",
    "Tx",
    "Unavailable",
    "UsageError",
    "attach_engine",
]

_HOMES = {
    "dbcore.errors": ("DatabaseAway", "OutcomeUnknown", "Unavailable", "UsageError"),
    "dbcore.failures": ("FailureKind",),
    "dbcore.guard.aio": ("AsyncGuard",),
    "dbcore.guard.attached": ("attach_engine",),
    "dbcore.guard.batch": ("BatchTx",),
    "dbcore.guard.flask": ("GuardedSQLAlchemy",),
    "dbcore.guard.guard": ("Guard",),
    "dbcore.guard.ledger": ("Adjustment", "Held", "Moved", "Transfer"),
    "dbcore.guard.reading": ("Known",),
    "dbcore.last_known": ("LAST_KNOWN",),
    "dbcore.guard.refusal": ("Refuse",),
    "dbcore.guard.transaction": ("Effect", "Tx"),
    "dbcore.guard.retries": ("RetryPolicy",),
    "dbcore.settings": ("SettingsError",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value
