"""A client-side deadline that holds even when the server is frozen.

psycopg2 waits inside libpq, where no signal interrupts it, and a statement time-out is the server's to keep. So a
thread of ours watches the calls that are under way and shuts down the socket of one that is late: libpq then sees the
connection end, and returns. A connect has no socket to shut until it is there; it runs in a thread of its own, and who
waits for it goes on without it.

Everything of psycopg2 that waits for the server is bounded: statements, COMMIT and ROLLBACK, COPY, the fetches of a
named cursor, two-phase commits, large objects. `cancel()` is not, as it uses a connection of libpq's own. Rows that
stream (COPY, named cursors) have the time for each piece, not for the whole.

Under gevent the watch is a real thread all the same, and deadlines are a greenlet's own. Whether a wait holds up the
other greenlets is up to psycopg2's wait callback (psycogreen), which goes on to work.

Connections made here are psycopg2's in everything else. (Its wait callback would keep deadlines too, but there is one
for all connections of the process, also the host program's own, where it breaks COPY; and it costs eight threads in one
process a twentieth of what they do.)
"""

from __future__ import annotations

import atexit
import importlib
import io
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import contextmanager, suppress
from functools import lru_cache, partial, wraps
from queue import Empty
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

import psycopg2
from psycopg2 import extensions

from dbcore.guard.cancellation import Cancellation, Cancelled

T = TypeVar("T")

CONNECT_THREAD = "database-connect"

_FOREVER = float("inf")
_EXIT_SECONDS_MAX = 0.2
_FATAL = ("FATAL: ", "PANIC: ")
_LATE = "timeout expired: the server did not answer before the deadline"
_TOO_LATE = "timeout expired: the deadline had passed before the statement was sent"
_INHERITED = "connection already closed: it belongs to the process that this one was forked from"


class DeadlineExceeded(psycopg2.OperationalError):
    """The time of this thread's call was up before the server answered. The connection is closed.

    sent -- False if the time was up before the statement was sent.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


def _unpatched(module: str, name: str) -> Any:
    """gevent turns threads, locks and sockets into its own, which stand still as long as libpq waits."""
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None:
        return monkey.get_original(module, name)
    return getattr(importlib.import_module(module), name)


class _Thread(threading.local):
    until: float = _FOREVER  # on the monotonic clock
    cancellation: Cancellation | None = None


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
    until = _thread.until
    return _FOREVER if until == _FOREVER else max(0.0, until - time.monotonic())


class Observer(Protocol):
    """Is told how the waits for the server on a connection end: all that fail, and of those that do not the ones that
    surely had an answer.
    """

    def answered(self) -> None: ...

    def failed(self, connection: Connection, error: psycopg2.Error, statement: object, *, ends: bool) -> None:
        """ends -- it was the end of a transaction that was asked for."""


def _waits(base: type, name: str, *, ends: bool = False, answered: bool = False) -> Any:
    """The method of psycopg2's class, bounded. answered -- it has asked the server when it returns."""
    ask = getattr(base, name)

    @wraps(ask)
    def bounded(self: Any, *arguments: Any, **options: Any) -> Any:
        return _bounded(
            self._waits_on,
            partial(ask, self, **options),
            *arguments,
            seconds=self.seconds,
            ends=ends,
            answered=answered,
        )

    return bounded


def _waiting_property(base: type, name: str) -> Any:
    """Setting it may ask the server for something, in autocommit."""
    there = getattr(base, name)
    return property(
        there.__get__, lambda self, value: _bounded(self, there.__set__, self, value), doc=there.__doc__
    )


_socket: type[socket.socket] = _unpatched("socket", "socket")
_lock: Callable[[], Any] = _unpatched("threading", "Lock")
_queue: Callable[[], Any] = _unpatched("queue", "SimpleQueue")


@contextmanager
def cancellable(cancellation: Cancellation) -> Iterator[None]:
    """What this thread does in the block can be cancelled from another one."""
    _thread.cancellation = cancellation
    try:
        yield
    finally:
        _thread.cancellation = None


def raise_if_cancelled() -> None:
    """Raises Cancelled if this thread's call was cancelled."""
    if _thread.cancellation is not None:
        _thread.cancellation.raise_if_requested()


def sleep(seconds: float) -> None:
    """`time.sleep`. Raises Cancelled."""
    if _thread.cancellation is None:
        time.sleep(seconds)
    else:
        _thread.cancellation.sleep(seconds)


@contextmanager
def committing() -> Iterator[None]:
    """What this thread sends in the block is COMMIT: it is let finish. Raises Cancelled in front of it."""
    cancellation = _thread.cancellation
    if cancellation is None:
        yield
        return
    cancellation.begin_commit()
    try:
        yield
    finally:
        cancellation.end_commit()


class Connection(extensions.connection):
    """psycopg2's, but what it asks of the server ends by the deadline of the thread that asks.

    seconds -- the most that one wait may take, beside that deadline. usual_seconds -- the same for ROLLBACK: `seconds`
        may be raised above it for one user's long work.
    until -- a time of the connection's own, on the monotonic clock, whichever thread uses it.
    waited_seconds -- how long its users have waited for the server so far.
    rolls_back_silently -- ROLLBACK on a connection that is lost does not raise: the server does it by itself.
    """

    until = _FOREVER
    waited_seconds = 0.0
    seconds = _FOREVER
    usual_seconds = _FOREVER
    rolls_back_silently = False
    observer: Observer | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._forks = _forks
        try:
            super().__init__(*arguments, **options)
        except psycopg2.Error:
            super().close()  # or whoever keeps the error keeps a session open that waits for a password
            raise
        # The same socket by a number of our own: libpq closes its own at any moment, and then it is soon another's.
        try:
            self._socket_duplicate = _socket(socket.AF_INET, socket.SOCK_STREAM, 0, os.dup(self.fileno()))
        except OSError as error:
            super().close()
            raise psycopg2.OperationalError(str(error)) from error

    @property
    def _waits_on(self) -> Connection:
        return self

    @property
    def inherited(self) -> bool:
        """It is the parent process's. What is said on it here the parent would hear the answer to."""
        return self._forks != _forks

    def close(self) -> None:
        if not self.inherited:  # closing says farewell to the server, in the parent's name
            super().close()
        self._socket_duplicate.close()

    def shut(self) -> None:
        """Whoever waits on it sees it end."""
        with suppress(OSError):  # ended by itself
            self._socket_duplicate.shutdown(socket.SHUT_RDWR)

    def cursor(self, name: Any = None, cursor_factory: Any = None, *arguments: Any, **options: Any) -> Any:
        """Raises TypeError for a `cursor_factory` that is not a class: its cursors could not be bounded."""
        usual: Any = self.cursor_factory
        factory = cursor_factory or usual or Cursor
        if factory is not Cursor or name is not None:
            factory = bounded_cursor(factory, named=name is not None)
        return super().cursor(name, factory, *arguments, **options)

    def lobject(self, *arguments: Any, **options: Any) -> Any:
        options.setdefault("lobject_factory", LargeObject)
        return _bounded(self, partial(super().lobject, **options), *arguments)

    @property
    def in_transaction(self) -> bool:
        """What is sent next commits nothing by itself."""
        return not self.autocommit

    def commit(self) -> None:
        with committing():
            _bounded(self, super().commit, ends=True, answered=self.status != extensions.STATUS_READY)

    def rollback(self) -> None:
        if self.status == extensions.STATUS_READY and not self.closed:
            super().rollback()  # which has nothing to ask
            return
        if self.rolls_back_silently and self.inherited:
            return
        try:
            _bounded(self, super().rollback, seconds=self.usual_seconds)
        except psycopg2.Error:
            if not (self.rolls_back_silently and self.closed):
                raise

    def tpc_commit(self, *arguments: Any) -> None:
        with committing():
            _bounded(self, super().tpc_commit, *arguments, ends=True, answered=True)

    reset = _waits(extensions.connection, "reset")
    set_client_encoding = _waits(extensions.connection, "set_client_encoding")
    set_isolation_level = _waits(extensions.connection, "set_isolation_level")
    set_session = _waits(extensions.connection, "set_session")
    tpc_begin = _waits(extensions.connection, "tpc_begin")
    tpc_prepare = _waits(extensions.connection, "tpc_prepare", ends=True, answered=True)
    tpc_rollback = _waits(extensions.connection, "tpc_rollback", ends=True, answered=True)
    tpc_recover = _waits(extensions.connection, "tpc_recover")

    autocommit = _waiting_property(extensions.connection, "autocommit")
    isolation_level = _waiting_property(extensions.connection, "isolation_level")
    readonly = _waiting_property(extensions.connection, "readonly")
    deferrable = _waiting_property(extensions.connection, "deferrable")


class Cursor(extensions.cursor):
    """Of such a connection.

    seconds -- what one wait may take, in place of the connection's.
    """

    seconds: float | None = None

    @property
    def _waits_on(self) -> Any:
        return self.connection

    def execute(self, query: Any, vars: Any = None) -> None:
        _bounded(self.connection, super().execute, query, vars, seconds=self.seconds, answered=True)

    def executemany(self, query: Any, vars_list: Any) -> None:
        _bounded(self.connection, super().executemany, query, vars_list, seconds=self.seconds, answered=True)

    callproc = _waits(extensions.cursor, "callproc", answered=True)

    def copy_expert(self, sql: Any, file: Any, *arguments: Any, **options: Any) -> None:
        self._copy(partial(super().copy_expert, sql, **options), file, *arguments)

    def copy_from(self, file: Any, *arguments: Any, **options: Any) -> None:
        self._copy(partial(super().copy_from, **options), file, *arguments)

    def copy_to(self, file: Any, *arguments: Any, **options: Any) -> None:
        self._copy(partial(super().copy_to, **options), file, *arguments)

    def _copy(self, ask: Callable[..., None], file: Any, *arguments: Any) -> None:
        # psycopg2 tells text from bytes by the file's class.
        stream = (_TextStream if isinstance(file, io.TextIOBase) else _Stream)(file)
        _bounded(self.connection, ask, stream, *arguments, seconds=self.seconds, answered=True, stream=stream)


class NamedCursor(Cursor):
    """One that the server keeps: each fetch asks for more."""

    fetchone = _waits(extensions.cursor, "fetchone")
    fetchmany = _waits(extensions.cursor, "fetchmany")
    fetchall = _waits(extensions.cursor, "fetchall")
    scroll = _waits(extensions.cursor, "scroll")
    close = _waits(extensions.cursor, "close")
    __next__ = _waits(extensions.cursor, "__next__")


class LargeObject(extensions.lobject):
    """Of such a connection."""

    seconds: float | None = None

    def __init__(self, connection: Any, *arguments: Any, **options: Any) -> None:
        self._waits_on = connection
        super().__init__(connection, *arguments, **options)

    read = _waits(extensions.lobject, "read")
    write = _waits(extensions.lobject, "write")
    seek = _waits(extensions.lobject, "seek")
    tell = _waits(extensions.lobject, "tell")
    truncate = _waits(extensions.lobject, "truncate")
    export = _waits(extensions.lobject, "export")
    unlink = _waits(extensions.lobject, "unlink")
    close = _waits(extensions.lobject, "close")


class _Stream:
    """The caller's file. Each piece that passes gives the COPY its time anew."""

    renew: Callable[[], None]

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, *size: int) -> Any:
        self.renew()
        piece = self._file.read(*size)
        self.renew()
        return piece

    def readline(self, *size: int) -> Any:  # psycopg2 asks for it, and does not use it
        return self._file.readline(*size)

    def write(self, piece: Any) -> Any:
        self.renew()
        written = self._file.write(piece)
        self.renew()
        return written


class _TextStream(_Stream, io.TextIOBase):  # type: ignore[misc]  # whose methods promise more of the size
    pass


@lru_cache(maxsize=64)
def bounded_connection(factory: Any) -> type[Connection]:
    """The class itself with ours beneath it, so that what it adds still goes on. Raises TypeError for what is no class
    of connections.
    """
    return _beneath(factory, Connection)


@lru_cache(maxsize=64)
def bounded_cursor(factory: Any, *, named: bool) -> type[Cursor]:
    """As `bounded_connection`."""
    return _beneath(factory, NamedCursor if named else Cursor)


C = TypeVar("C", bound=type[Any])


def _beneath(factory: Any, ours: C) -> C:
    drivers_own = ours.__mro__[-2]
    if not isinstance(factory, type) or not issubclass(factory, drivers_own):
        raise TypeError(f"{factory!r} is no class of psycopg2's: what it makes could not be given a deadline")
    if issubclass(factory, ours):
        return cast(C, factory)
    if issubclass(ours, factory):
        return ours
    return cast(C, type(factory.__name__, (factory, ours), {}))


def connect(
    *arguments: Any,
    connection_factory: Any = Connection,
    **options: Any,
) -> Connection:
    """`psycopg2.connect`, in the time of this thread's deadline, which bounds finding the host's address too.

    A connect that nobody waits for any more goes on until the address is found or not, and then for its own
    `connect_timeout`; what came of it is closed. Raises like psycopg2, and DeadlineExceeded.
    """
    make: Callable[[], Connection] = partial(
        psycopg2.connect, *arguments, **options, connection_factory=bounded_connection(connection_factory)
    )
    return in_time(make)


def in_time(make: Callable[[], T]) -> T:
    """What `make` returns, in the time of this thread's deadline. It runs in a thread of its own. A connection that
    nobody waits for any more is closed when it is there. Raises like `make`, and DeadlineExceeded.
    """
    if _thread.until == _FOREVER:
        return make()
    if not remaining_seconds():
        raise DeadlineExceeded(_LATE)
    made: Future[T] = Future()
    cancellation = _thread.cancellation
    try:
        if cancellation is not None:
            cancellation.begin_wait(made.cancel)
        _start(CONNECT_THREAD, _settle, made, make)
        return made.result(remaining_seconds())
    except CancelledError:
        raise Cancelled from None
    except TimeoutError:
        if made.cancel():
            raise DeadlineExceeded(_LATE) from None
        return made.result()
    finally:
        del made, cancellation  # an error holds this frame, and must not be held by it


def _settle(made: Future[Any], make: Callable[[], Any]) -> None:
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


def greenlets_are_threads() -> bool:
    """Whether gevent has put its own in place of them."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def was_patched_too_late() -> bool:
    """gevent came after this module, whose deadlines are then those of all greenlets of a thread at once."""
    return threading.local is not _Thread.__bases__[0]


def _start(name: str, target: Callable[..., None], *arguments: Any) -> None:
    try:
        if greenlets_are_threads():
            _unpatched("_thread", "start_new_thread")(target, arguments)
        else:
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

    def renew(self, thread_until: float, seconds: float) -> None:
        self.until = min(thread_until, time.monotonic() + seconds)


class _DeadlineMonitor:
    """Ends the calls that are late.

    It is told of each call twice, so that takes no lock: whoever takes a call out of `calls` has the say.
    """

    _LINGER_SECONDS = 1.0  # after the last call, so that calls one by one need not wake the thread each

    def __init__(self) -> None:
        self.calls: dict[_Call, bool] = {}
        """Those under way."""
        self.looks_at = _FOREVER
        """When it looks next by itself. For a call that ends sooner it must be woken."""
        # Not an Event: an exception of a signal's in the middle of setting one would leave it locked forever.
        self._wakes = _queue()
        self._shutting = _lock()
        self._starting = _lock()
        self._runs = False

    def wake(self) -> None:
        """Raises psycopg2.OperationalError where no thread can be started."""
        if not self._runs:
            with self._starting:
                if not self._runs:
                    _start("database-deadlines", self._run)
                    self._runs = True
        self._wakes.put(None)

    def end(self, call: _Call) -> None:
        """Let whoever waits for it go on, unless it has ended."""
        with self._shutting:
            if self.calls.pop(call, False):
                call.connection.shut()

    def wait_closed(self) -> None:
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
                self.end(call)
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


_watch = _DeadlineMonitor()
_forks = 0  # between the first process and this one, for all that the connections here need to know


def _watch_anew() -> None:
    """Threads do not survive a fork."""
    global _watch, _forks
    _watch = _DeadlineMonitor()
    _forks += 1


os.register_at_fork(after_in_child=_watch_anew)


def _bounded(
    connection: Any,
    ask: Callable[..., T],
    *arguments: Any,
    seconds: float | None = None,
    ends: bool = False,
    answered: bool = False,
    stream: _Stream | None = None,
) -> T:
    """What `ask` returns, in time. Raises like it, and DeadlineExceeded; the connection is closed then.

    seconds -- for this wait, in place of the connection's. ends -- as Observer.failed has it. answered -- the server
        has answered if it does not raise; some methods have nothing to ask it at times.
    """
    if connection._forks != _forks:
        raise psycopg2.InterfaceError(_INHERITED)
    watch = _watch
    observer = connection.observer
    # What commits by itself is not cut off.
    cancellation = _thread.cancellation
    if cancellation is not None and not connection.in_transaction:
        cancellation = None
    if seconds is None:
        seconds = connection.seconds
    started = time.monotonic()
    until = min(_thread.until, connection.until)
    if until <= started:
        connection.close()
        too_late = DeadlineExceeded(_TOO_LATE, sent=False)
        if observer is not None:
            observer.failed(connection, too_late, None, ends=ends)
        raise too_late
    call = _Call(connection, until if until < started + seconds else started + seconds)
    if stream is not None:
        stream.renew = partial(call.renew, until, seconds)
    failure = None
    try:
        watch.calls[call] = True
        if call.until < watch.looks_at:
            watch.wake()
        if cancellation is not None:
            cancellation.begin_wait(partial(watch.end, call))
        result = ask(*arguments)
    except psycopg2.Error as error:
        failure = error
    finally:
        # Nothing of Python's own before it is out: there an exception of a signal's could come between.
        in_time = watch.calls.pop(call, False)
        connection.waited_seconds += time.monotonic() - started
        if not in_time:
            watch.wait_closed()
            connection.close()
    try:
        if cancellation is not None:
            cancellation.end_wait()
        if in_time and failure is None:
            if observer is not None and answered:
                observer.answered()
            return result
        failure = _told(failure, connection, in_time=in_time)
        if observer is not None:
            observer.failed(connection, failure, arguments[0] if arguments else None, ends=ends)
        raise failure
    finally:
        del failure  # as in `in_time`


def _told(failure: psycopg2.Error | None, connection: Connection, *, in_time: bool) -> psycopg2.Error:
    if failure is not None and in_time:
        return _with_server_message(failure, connection)
    late = DeadlineExceeded(_LATE)
    late.__cause__ = failure
    return late


def _with_server_message(error: psycopg2.Error, connection: Connection) -> psycopg2.Error:
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
