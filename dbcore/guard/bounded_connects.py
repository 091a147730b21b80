"""Gives deadlines to connections that somebody else makes: SQLAlchemy's dialect, an engine's `creator`, a listener of
`do_connect`.

Whoever makes them, in the end psycopg2 does, by the one function that is replaced here. It works as before, except
inside `bounded_connects`: there the class of the connection, which may be the caller's own, gets ours beneath it. A
connection that is there already cannot change its class, and a wrapper around it is no connection to psycopg2's own
functions.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import psycopg2
from psycopg2 import extensions

from dbcore.guard.deadline import bounded_connection

_seconds: ContextVar[float | None] = ContextVar("bounded_connects", default=None)
_installing = threading.Lock()
_drivers_connect: Any = None


@contextmanager
def bounded_connects(seconds: float) -> Iterator[None]:
    """Inside it `psycopg2.connect` makes connections of `dbcore.guard.deadline`. libpq gives a connect up after that
    time, unless it is told another `connect_timeout`. Raises TypeError for a `connection_factory` that is not a class.
    """
    _install()
    token = _seconds.set(seconds)
    try:
        yield
    finally:
        _seconds.reset(token)


def _install() -> None:
    global _drivers_connect
    if _drivers_connect is not None:
        return
    with _installing:
        if _drivers_connect is None:
            _drivers_connect = psycopg2._connect  # type: ignore[attr-defined]  # a test pins it
            psycopg2._connect = _connect  # type: ignore[attr-defined]


def _connect(dsn: str, connection_factory: Any = None, **options: Any) -> Any:
    seconds = _seconds.get()
    if seconds is not None:
        connection_factory = bounded_connection(connection_factory or extensions.connection)
        dsn = _with_time_out(dsn, seconds)
    return _drivers_connect(dsn, connection_factory=connection_factory, **options)


def _with_time_out(dsn: str, seconds: float) -> str:
    """A connect that nobody waits for any more must end by itself."""
    if "PGCONNECT_TIMEOUT" in os.environ:
        return dsn
    try:
        given = extensions.parse_dsn(dsn)
    except psycopg2.ProgrammingError:  # rises again where it is used
        return dsn
    if "connect_timeout" in given or "service" in given:
        return dsn
    return extensions.make_dsn(dsn, connect_timeout=max(2, math.ceil(seconds)))
