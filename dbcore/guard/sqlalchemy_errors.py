"""Errors that are SQLAlchemy's and ours at once, so that an `except` of either catches them.

    sqlalchemy.exc.OperationalError   ─┐
    (or what SQLAlchemy makes of it)   ├─▶  UnavailableOperationalError, OutcomeUnknownOperationalError, …
    Unavailable or OutcomeUnknown     ─┘

They have the attributes of both: `orig`, `statement`, `connection_invalidated`; `kind`, `retry_after_seconds`. They
survive pickling.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

from sqlalchemy.exc import SQLAlchemyError

from dbcore.errors import OutcomeUnknown, Unavailable
from dbcore.failures import FailureKind


class _Unavailable(Unavailable):
    def __init__(self, *arguments: object) -> None:
        Exception.__init__(self, *arguments)  # SQLAlchemy's arguments, which end up here, are none of ours


class _OutcomeUnknown(OutcomeUnknown):
    def __init__(self, *arguments: object) -> None:
        Exception.__init__(self, *arguments)


def also_ours(
    error: SQLAlchemyError, kind: FailureKind, retry_after_seconds: float, *, maybe_applied: bool
) -> SQLAlchemyError:
    """The same error, as one that is Unavailable too; OutcomeUnknown if it may have been applied."""
    reduced: Any = error.__reduce__()
    return _make(type(error), reduced[1], kind, retry_after_seconds, maybe_applied)


@lru_cache(maxsize=64)
def _class_of(theirs: Any, maybe_applied: bool) -> type[Any]:
    ours = _OutcomeUnknown if maybe_applied else _Unavailable
    name = ours.__name__.removeprefix("_") + theirs.__name__
    return type(name, (theirs, ours), {"__module__": __name__, "__reduce__": _reduce})


def _make(
    theirs: Any,
    arguments: tuple[Any, ...],
    kind: FailureKind,
    retry_after_seconds: float,
    maybe_applied: bool,
) -> SQLAlchemyError:
    error = _class_of(theirs, maybe_applied)(*arguments)
    error.kind = kind
    error.retry_after_seconds = retry_after_seconds
    return cast(SQLAlchemyError, error)  # its class is made at run time


def _reduce(self: Any) -> tuple[Any, ...]:
    theirs: Any = type(self).__bases__[0]
    _, arguments, *state = theirs.__reduce__(self)
    maybe_applied = isinstance(self, OutcomeUnknown)
    return (_make, (theirs, arguments, self.kind, self.retry_after_seconds, maybe_applied), *state)
