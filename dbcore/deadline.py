"""A client-side deadline that holds even when the server is frozen.

psycopg2 waits inside libpq, where no signal interrupts it, and a statement time-out is the server's to keep. So a
thread of ours watches the calls that are under way and shuts down the socket of one that is late: libpq then sees the
connection end, and returns. A connect has no socket to shut until it is there; it runs in a thread of its own, and who
waits for it goes on without it.

Connections made here are psycopg2's in everything else. (Its wait callback would keep deadlines too, but there is one
for all connections of the process, also the host program's own, where it breaks COPY; and it costs eight threads in one
process a twentieth of what they do.)
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any

import psycopg2
from psycopg2 import extensions

CONNECT_THREAD = "database-connect"

_FOREVER = float("inf")
_LATE = "timeout expired: the server did not answer before the deadline"


class DeadlineExceeded(psycopg2.OperationalError):
    """The time of this thread's call was up before the server answered. The connection is closed."""


class _Thread(threading.local):
    until: float = _FOREVER  # on the monotonic clock


_thread = _Thread()


class Deadline:
    """`with Deadline(seconds):` bounds what this thread does on a connection of `connect`, and connecting. The nearer
    of nested ones holds.
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


class Connection(extensions.connection):
    """psycopg2's, but what it asks of the server ends by the deadline of the thread that asks."""

    def commit(self) -> None:
        _bounded(self, super().commit)

    def rollback(self) -> None:
        _bounded(self, super().rollback)


class Cursor(extensions.cursor):
    """Of such a connection. COPY and what a named cursor fetches are not bounded."""

    def execute(self, query: Any, vars: Any = None) -> None:
        _bounded(self.connection, super().execute, query, vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        _bounded(self.connection, super().executemany, query, vars_list)


def connect(*arguments: Any, **options: Any) -> Connection:
    """`psycopg2.connect`, in the time of this thread's deadline, which bounds finding the host's address too.

    A connect that nobody waits for any more ends by its own `connect_timeout`, and what came of it is closed.
    Raises like psycopg2, and DeadlineExceeded.
    """

    make: Callable[[], Connection] = partial(
        psycopg2.connect, *arguments, **options, connection_factory=Connection, cursor_factory=Cursor
    )
    if _thread.until == _FOREVER:
        return make()
    made: Future[Connection] = Future()
    threading.Thread(target=_settle, args=(made, make), name=CONNECT_THREAD, daemon=True).start()
    try:
        return made.result(remaining_seconds())
    except TimeoutError:
        if made.cancel():
            raise DeadlineExceeded(_LATE) from None
        return made.result()


def _settle(made: Future[Connection], make: Callable[[], Connection]) -> None:
    try:
        connection = make()
    except Exception as error:  # noqa: BLE001  rises where it is waited for
        with suppress(InvalidStateError):
            made.set_exception(error)
        return
    try:
        made.set_result(connection)
    except InvalidStateError:
        connection.close()


class _Call:
    __slots__ = ("connection", "until")

    def __init__(self, connection: Any, until: float) -> None:
        self.connection = connection
        self.until = until


class _Watch:
    """Knows the calls under way, and ends those that are late.

    It is asked twice a call, so it takes a lock only for a late one: whoever removes a call from the set has the say.
    """

    _LINGER_SECONDS = 1.0  # after the last call, so that calls one by one need not wake the thread each

    def __init__(self) -> None:
        self._calls: set[_Call] = set()
        self._looks_at = _FOREVER  # when the thread looks next, unless it is woken
        self._woken = threading.Event()
        self._ending = threading.Lock()
        self._starting = threading.Lock()
        self._started = False

    def begin(self, call: _Call) -> None:
        self._calls.add(call)
        if call.until < self._looks_at:
            if not self._started:
                self._start()
            self._woken.set()

    def end(self, call: _Call) -> bool:
        """The call has returned. Whether in time: if not, its socket is shut by now."""
        try:
            self._calls.remove(call)
        except KeyError:
            with self._ending:
                return False
        return True

    def _start(self) -> None:
        with self._starting:
            if not self._started:
                threading.Thread(target=self._run, name="database-deadlines", daemon=True).start()
                self._started = True

    def _run(self) -> None:
        was_woken = False
        while True:
            self._woken.clear()
            self._looks_at = (
                _FOREVER  # until it is known: who comes meanwhile wakes us, and is seen in the next round
            )
            now = time.monotonic()
            nearest = now + self._LINGER_SECONDS if was_woken else _FOREVER
            under_way = list(self._calls)
            if under_way:
                nearest = min(call.until for call in under_way)
            if nearest <= now:
                for call in under_way:
                    if call.until <= now:
                        self._shut(call)
                continue
            self._looks_at = nearest
            was_woken = self._woken.wait(None if nearest == _FOREVER else nearest - now)

    def _shut(self, call: _Call) -> None:
        with self._ending:
            try:
                self._calls.remove(call)
            except KeyError:
                return
            # Lent, not owned: the descriptor stays libpq's. It ends by itself where it is closed already.
            with suppress(psycopg2.Error, OSError):
                lent = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, call.connection.fileno())
                try:
                    lent.shutdown(socket.SHUT_RDWR)
                finally:
                    lent.detach()


_watch = _Watch()


def _watch_anew() -> None:
    """Threads do not survive a fork."""
    global _watch
    _watch = _Watch()


os.register_at_fork(after_in_child=_watch_anew)


def _bounded(connection: Any, ask: Callable[..., None], *arguments: Any) -> None:
    watch = _watch
    call = _Call(connection, _thread.until)
    watch.begin(call)
    failure = None
    try:
        ask(*arguments)
    except psycopg2.Error as error:
        failure = error
    finally:
        in_time = watch.end(call)
    if not in_time:
        connection.close()
        raise DeadlineExceeded(_LATE) from failure
    if failure is not None:
        raise _in_all_its_words(failure, connection)


def _in_all_its_words(error: psycopg2.Error, connection: Any) -> psycopg2.Error:
    """Of a server that says why before it hangs up, libpq reports but the hanging up; its words lie beside."""
    if error.pgcode is not None or not connection.closed:
        return error
    words = connection.info.error_message
    if not words or str(error) == words:
        return error
    told = type(error)(words)
    told.__cause__ = error
    return told
