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

import atexit
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

import psycopg2
from psycopg2 import extensions

CONNECT_THREAD = "database-connect"

_FOREVER = float("inf")
_EXIT_SECONDS_MAX = 0.2
_FATAL = ("FATAL: ", "PANIC: ")
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
    """psycopg2's, but what it asks of the server by these methods ends by the deadline of the thread that asks."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        try:
            super().__init__(*arguments, **options)
        except psycopg2.Error:
            super().close()  # or whoever keeps the error keeps a session open that waits for a password
            raise
        # The same socket by a number of our own: libpq closes its own at any moment, and then it is soon another's.
        try:
            self._shutter = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, os.dup(self.fileno()))
        except OSError as error:
            super().close()
            raise psycopg2.OperationalError(str(error)) from error

    def close(self) -> None:
        super().close()
        self._shutter.close()

    def shut(self) -> None:
        """Whoever waits on it sees it end."""
        with suppress(OSError):  # ended by itself
            self._shutter.shutdown(socket.SHUT_RDWR)

    def commit(self) -> None:
        _bounded(self, super().commit)

    def rollback(self) -> None:
        _bounded(self, super().rollback)


class Cursor(extensions.cursor):
    """Of such a connection. What else psycopg2 can do, procedures, COPY, named cursors, is not bounded."""

    def execute(self, query: Any, vars: Any = None) -> None:
        _bounded(self.connection, super().execute, query, vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        _bounded(self.connection, super().executemany, query, vars_list)


def connect(*arguments: Any, **options: Any) -> Connection:
    """`psycopg2.connect`, in the time of this thread's deadline, which bounds finding the host's address too.

    A connect that nobody waits for any more goes on until the address is found or not, and then for its own
    `connect_timeout`; what came of it is closed. Raises like psycopg2, and DeadlineExceeded.
    """
    make: Callable[[], Connection] = partial(
        psycopg2.connect, *arguments, **options, connection_factory=Connection, cursor_factory=Cursor
    )
    if _thread.until == _FOREVER:
        return make()
    if not remaining_seconds():
        raise DeadlineExceeded(_LATE)
    made: Future[Connection] = Future()
    try:
        _start(CONNECT_THREAD, _settle, made, make)
        return made.result(remaining_seconds())
    except TimeoutError:
        if made.cancel():
            raise DeadlineExceeded(_LATE) from None
        return made.result()
    finally:
        del made  # an error holds this frame, and must not be held by it


def _settle(made: Future[Connection], make: Callable[[], Connection]) -> None:
    try:
        connection = make()
    except Exception as error:  # noqa: BLE001  rises where it is waited for
        with suppress(InvalidStateError):
            made.set_exception(error)
    else:
        try:
            made.set_result(connection)
        except InvalidStateError:
            connection.close()
    finally:
        del made  # as above


def _start(name: str, target: Callable[..., None], *arguments: Any) -> None:
    try:
        threading.Thread(target=target, args=arguments, name=name, daemon=True).start()
    except RuntimeError as error:  # "can't start new thread"
        raise psycopg2.OperationalError(str(error)) from error


@atexit.register
def _let_connects_end() -> None:
    """OpenSSL is taken down with the process, under the feet of a handshake that is under way."""
    until = time.monotonic() + _EXIT_SECONDS_MAX
    for thread in threading.enumerate():
        if thread.name == CONNECT_THREAD:
            thread.join(max(0.0, until - time.monotonic()))


class _Call:
    __slots__ = ("connection", "until")

    def __init__(self, connection: Connection, until: float) -> None:
        self.connection = connection
        self.until = until


class _Watch:
    """Ends the calls that are late.

    It is told of each call twice, so that takes no lock: whoever takes a call out of `calls` has the say.
    """

    _LINGER_SECONDS = 1.0  # after the last call, so that calls one by one need not wake the thread each

    def __init__(self) -> None:
        self.calls: dict[_Call, bool] = {}
        """Those under way."""
        self.looks_at = _FOREVER
        """When it looks next by itself. For a call that ends sooner it must be woken."""
        # Not an Event: an exception of a signal's in the middle of setting one would leave it locked for ever.
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._shutting = threading.Lock()
        self._starting = threading.Lock()
        self._runs = False

    def wake(self) -> None:
        """Raises psycopg2.OperationalError where no thread can be started."""
        if not self._runs:
            with self._starting:
                if not self._runs:
                    _start("database-deadlines", self._run)
                    self._runs = True
        self._wakes.put(None)

    def let_shut(self) -> None:
        """Return when what it took out is shut."""
        with self._shutting:
            pass

    def _run(self) -> None:
        was_woken = True
        try:
            while True:
                was_woken = self._look(was_woken)
        finally:  # never seen; the next call begins it anew
            self._runs, self.looks_at = False, _FOREVER

    def _look(self, was_woken: bool) -> bool:
        """End what is late and sleep until the next may be; whether it was woken before."""
        self.looks_at = _FOREVER  # until it is known: who comes meanwhile wakes us, and is seen the next time
        now = time.monotonic()
        under_way = list(self.calls)
        for call in under_way:
            if call.until <= now:
                with self._shutting:
                    if self.calls.pop(call, False):
                        call.connection.shut()
        nothing_until = now + self._LINGER_SECONDS if was_woken else _FOREVER
        nearest = min((call.until for call in under_way if call.until > now), default=nothing_until)
        self.looks_at = nearest
        try:
            self._wakes.get(timeout=None if nearest == _FOREVER else max(0.0, nearest - time.monotonic()))
        except Empty:
            return False
        with suppress(Empty):
            while True:
                self._wakes.get_nowait()
        return True


_watch = _Watch()


def _watch_anew() -> None:
    """Threads do not survive a fork."""
    global _watch
    _watch = _Watch()


os.register_at_fork(after_in_child=_watch_anew)


def _bounded(connection: Any, ask: Callable[..., None], *arguments: Any) -> None:
    watch = _watch
    call = _Call(connection, _thread.until)
    failure = None
    try:
        watch.calls[call] = True
        if call.until < watch.looks_at:
            watch.wake()
        ask(*arguments)
    except psycopg2.Error as error:
        failure = error
    finally:
        # Nothing of Python's own before it is out: there an exception of a signal's could come between.
        in_time = watch.calls.pop(call, False)
        if not in_time:
            watch.let_shut()
            connection.close()
    try:
        if not in_time:
            raise DeadlineExceeded(_LATE) from failure
        if failure is not None:
            raise _in_its_last_words(failure, connection)
    finally:
        del failure  # as in `connect`


def _in_its_last_words(error: psycopg2.Error, connection: Connection) -> psycopg2.Error:
    """Of a server that says why before it hangs up, psycopg2 raises but the hanging up; its words lie beside."""
    if error.pgcode is not None or isinstance(error, psycopg2.InterfaceError) or not connection.closed:
        return error
    words = connection.info.error_message or ""
    # An error that is not fatal may stand before the end too, and quote what a user wrote.
    if not words.startswith(_FATAL) or words == str(error):
        return error
    told = type(error)(words)
    told.__cause__ = error
    return told
