"""Ballast's public names. docs/reference/api.md describes each.

Importing the package imports nothing else: a name is fetched when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ballast.app import App
    from ballast.arguments import Amount
    from ballast.asking import Ask
    from ballast.batch import BatchContext
    from ballast.context import JobContext, User
    from ballast.jobs import Discard, Job, Snooze
    from ballast.replies import BuiltInAnswer, Button, Reply
    from ballast.webhooks import Received, WebhookRequest
    from dbcore import (
        LAST_KNOWN,
        Adjustment,
        AsyncGuard,
        BatchTx,
        DatabaseAway,
        Effect,
        FailureKind,
        Guard,
        GuardedSQLAlchemy,
        Held,
        Known,
        Moved,
        OutcomeUnknown,
        Refuse,
        RetryPolicy,
        SettingsError,
        Transfer,
        Tx,
        Unavailable,
        UsageError,
        attach_engine,
    )
    from dbcore.integration import (
        bot_safe_adjust_balance,
        bot_safe_broadcast,
        bot_safe_create_transaction,
        bot_safe_get_or_create_user,
    )

__version__ = "0.2.0"

__all__ = [
    "LAST_KNOWN",
    "Adjustment",
    "Amount",
    "App",
    "Ask",
    "AsyncGuard",
    "BatchContext",
    "BatchTx",
    "BuiltInAnswer",
    "Button",
    "DatabaseAway",
    "Discard",
    "Effect",
    "FailureKind",
    "Guard",
    "GuardedSQLAlchemy",
    "Held",
    "Job",
    "JobContext",
    "Known",
    "Moved",
    "OutcomeUnknown",
    "Received",
    "Refuse",
    "Reply",
    "RetryPolicy",
    "SettingsError",
    "Snooze",
    "Transfer",
    "Tx",
    "Unavailable",
    "UsageError",
    "User",
    "WebhookRequest",
    "__version__",
    "attach_engine",
    "bot_safe_adjust_balance",
    "bot_safe_broadcast",
    "bot_safe_create_transaction",
    "bot_safe_get_or_create_user",
]


_HOMES = {
    "ballast.app": ("App",),
    "ballast.arguments": ("Amount",),
    "ballast.asking": ("Ask",),
    "ballast.batch": ("BatchContext",),
    "ballast.context": ("JobContext", "User"),
    "ballast.jobs": ("Discard", "Job", "Snooze"),
    "ballast.replies": ("BuiltInAnswer", "Button", "Reply"),
    "ballast.webhooks": ("Received", "WebhookRequest"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOME_OF.get(name) or ("dbcore.integration" if name.startswith("bot_safe_") else "dbcore")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
