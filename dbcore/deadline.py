"""A client-side deadline that holds even when the server is frozen.

psycopg2 waits inside libpq, where neither a signal nor another thread interrupts it; a statement time-out is
the server's to keep. With a wait callback, psycopg2 hands us every wait instead. The callback is one per
process and serves every psycopg2 connection in it; a thread that set no deadline waits as long as it takes.
COPY and large objects do not work in this mode.

In this mode libpq does not keep `connect_timeout` either, so the callback keeps it: for each socket it is
handed, because libpq goes on to the next address of a host by itself.
"""

from __future__ import annotations

import select
import threading
import time
from types import TracebackType
from typing import Any

import psycopg2
from psycopg2 import extensions

_FOREVER = float("inf")
_POLLED_STATES = {
    extensions.POLL_READ: select.POLLIN,
    extensions.POLL_WRITE: select.POLLOUT,
}
_STATUS_SETUP = extensions.STATUS_SETUP
_POLL_OK = extensions.POLL_OK


class DeadlineExceeded(psycopg2.OperationalError):
    """The time of this thread's call was up before the server answered. The connection is closed."""


class _Thread(threading.local):
    until: float = _FOREVER  # on the monotonic clock, because that is what the kernel's poll waits by


_thread = _Thread()


class Deadline:
    """`with Deadline(seconds):` bounds every wait of this thread on PostgreSQL. The nearer of nested ones
    holds.
    """

    __slots__ = ("_outer", "_until")

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._outer = _FOREVER

    def __enter__(self) -> Deadline:
        self._outer = _thread.until
        _thread.until = min(self._outer, self._until)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _thread.until = self._outer


def remaining_seconds() -> float:
    """What is left of this thread's deadline; infinite without one, never below zero."""
    return max(0.0, _thread.until - time.monotonic())


def install() -> None:
    """Make psycopg2 keep deadlines in this process. May be called again."""
    extensions.set_wait_callback(wait)


def uninstall() -> None:
    """Give psycopg2 its own waiting back; deadlines no longer hold."""
    extensions.set_wait_callback(None)


def _connect_timeout_seconds(connection: Any) -> float:
    """What whoever connects asked of libpq; like there, unset and 0 wait for ever.

    Raises psycopg2.OperationalError in libpq's words, which connecting so does not look at it itself.
    """
    asked = connection.info.dsn_parameters.get("connect_timeout", "0")
    try:
        return float(asked) or _FOREVER
    except ValueError as error:
        raise psycopg2.OperationalError(
            f'invalid integer value "{asked}" for connection option "connect_timeout"'
        ) from error


def wait(connection: Any) -> None:
    """psycopg2's wait callback: return when the connection is done with what it is doing.

    Raises DeadlineExceeded; psycopg2 closes the connection then.
    """
    until = _thread.until
    connecting = connection.status == _STATUS_SETUP
    descriptor = -1
    connect_until = _FOREVER
    while True:
        state = connection.poll()
        if state == _POLL_OK:
            return
        if connecting:
            if connection.fileno() != descriptor:
                descriptor = connection.fileno()
                connect_until = time.monotonic() + _connect_timeout_seconds(connection)
            limit = min(until, connect_until)
        else:
            descriptor = connection.fileno()
            limit = until
        poller = select.poll()
        poller.register(descriptor, _POLLED_STATES[state])
        if limit == _FOREVER:
            poller.poll()
            continue
        left = limit - time.monotonic()
        # Rounded up: a wait cut to zero milliseconds would spin.
        if left <= 0 or not poller.poll(int(left * 1000) + 1):
            raise DeadlineExceeded("timeout expired: the server did not answer before the deadline")
