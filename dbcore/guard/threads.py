"""Calls from asyncio in threads of their own: one new thread for each, so that it finds nothing of the one before.

Slots   how many may run at once: as many as there are connections. The others wait in order, without a thread
Job     one call in its thread; can be cancelled
Reply   what a thread tells a task
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Generic, TypeVar

from dbcore.guard.cancellation import Cancellation, Cancelled
from dbcore.guard.deadline import Deadline, cancellable

T = TypeVar("T")

THREAD = "database-call"

DRAIN_SECONDS = 1.0
"""How long a cancelled call is waited for that can commit nothing any more. One whose COMMIT was sent is waited for
until its deadline, and so much longer.
"""


class Slots:
    """A semaphore for several event loops, in the order of arrival. Given back from any thread."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free = count
        self._waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    @property
    def is_free(self) -> bool:
        """Whether one could be had without waiting."""
        return self._free > 0

    async def acquire(self, until: float) -> None:
        """until -- on the monotonic clock. Raises TimeoutError."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            granted = asyncio.get_running_loop().create_future()
            self._waiting[granted] = None
        try:
            await asyncio.wait([granted], timeout=max(0.0, until - time.monotonic()))
        except BaseException:
            self._withdraw(granted)
            raise
        if not granted.done():
            self._withdraw(granted)
            raise TimeoutError("no thread was free before the deadline")

    def release(self) -> None:
        """Give one back: to whoever waits longest."""
        with self._lock:
            while self._waiting:
                granted, _ = self._waiting.popitem(last=False)
                with suppress(RuntimeError):  # its loop is closed
                    granted.get_loop().call_soon_threadsafe(_resolve, granted)
                    return
            self._free += 1

    def _withdraw(self, granted: asyncio.Future[None]) -> None:
        with self._lock:
            still_waits = granted in self._waiting
            self._waiting.pop(granted, None)
        if not still_waits:
            self.release()


class Reply(Generic[T]):
    """What a thread tells the task that made it. `given` is done then; it is awaited by `asyncio.wait`, which does not
    cancel it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.given = self._loop.create_future()
        self._value: T
        self._error: BaseException | None = None

    def give(self, value: T) -> None:
        self._value = value
        self._tell()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._tell()

    def taken(self) -> T:
        """Returns or raises it."""
        error, self._error = self._error, None
        if error is None:
            return self._value
        try:
            raise error
        finally:
            del error  # it holds this frame

    def _tell(self) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(_resolve, self.given)


class Job(Generic[T]):
    """A function in a thread of its own, in the context of the task that made it."""

    def __init__(self, function: Callable[[], T], until: float) -> None:
        """until -- its deadline, on the monotonic clock."""
        self._function = function
        self._until = until
        self._context = copy_context()
        self._reply: Reply[T] = Reply()
        self._cancellation = Cancellation()
        self._thread: threading.Thread | None = None

    @property
    def ended(self) -> asyncio.Future[None]:
        """As `Reply.given`."""
        return self._reply.given

    def start(self, *at_end: Callable[[], object]) -> None:
        """at_end -- called in the thread, whatever comes of the function. Raises RuntimeError if there can be no
        thread.
        """
        # A daemon: code that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, args=at_end, name=THREAD, daemon=True)
        self._thread.start()

    async def result(self) -> T:
        """What the function returned or raised. A task that is cancelled here cancels the call, and gets its
        CancelledError when the call has ended.
        """
        try:
            await asyncio.wait([self.ended])
        except asyncio.CancelledError:
            await self.drain()
            raise
        try:
            return self._reply.taken()
        except Cancelled:
            raise asyncio.CancelledError from None

    async def drain(self) -> None:
        """Cancel the call and wait for its end. Being cancelled again changes nothing."""
        until = self.cancel()
        while not self.ended.done() and (left := until - time.monotonic()) > 0:
            with suppress(asyncio.CancelledError):
                await asyncio.wait([self.ended], timeout=left)

    def cancel(self) -> float:
        """Until when it is worth waiting for its end, on the monotonic clock."""
        can_commit = not self._cancellation.request()
        return (self._until if can_commit else time.monotonic()) + DRAIN_SECONDS

    def join(self, until: float | None = None) -> None:
        """Wait for the thread. until -- default: a little beyond the call's deadline."""
        if until is None:
            until = self._until + DRAIN_SECONDS
        if self._thread is not None:
            self._thread.join(max(0.0, until - time.monotonic()))

    def _run(self, *at_end: Callable[[], object]) -> None:
        try:
            with cancellable(self._cancellation), Deadline(self._until - time.monotonic()):
                self._cancellation.raise_if_requested()
                value = self._context.run(self._function)
        except BaseException as error:  # noqa: BLE001  rises in the task
            tell = partial(self._reply.fail, error)
        else:
            tell = partial(self._reply.give, value)
        del self._function, self._context  # and all they hold, in this thread
        for call in at_end:
            call()
        tell()
        del tell  # an error holds this frame


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
