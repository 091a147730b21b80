"""How one thread tells another that it need not finish its call.

Before COMMIT the call ends at once: the wait that is under way ends, the next one does not begin, and the server rolls
back. A COMMIT that was sent is let finish.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Cancelled(BaseException):
    """Rises in the thread of a call that was cancelled. Not an Exception, so that `except Exception` in the caller's
    code does not stop it; SQLAlchemy closes the connection that it passes.
    """


class Cancellation:
    """Of one call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requested = threading.Event()
        self._commits = False
        self._end_wait: Callable[[], object] | None = None

    def request(self) -> bool:
        """Cancel the call, from another thread. False: a COMMIT is under way, and is let finish."""
        with self._lock:
            self._requested.set()
            if self._commits:
                return False
            if self._end_wait is not None:
                self._end_wait()
            return True

    def raise_if_requested(self) -> None:
        """Raises Cancelled."""
        with self._lock:
            self._check()

    def begin_wait(self, end_wait: Callable[[], object]) -> None:
        """The call's thread is about to wait; `end_wait` would make it go on, and does nothing if it waits no more.

        Raises Cancelled.
        """
        with self._lock:
            self._check()
            self._end_wait = None if self._commits else end_wait

    def end_wait(self) -> None:
        """The wait is over. Raises Cancelled."""
        with self._lock:
            self._end_wait = None
            self._check()

    def begin_commit(self) -> None:
        """COMMIT is about to be sent. Raises Cancelled; from here on nothing does until `end_commit`."""
        with self._lock:
            self._check()
            self._commits = True

    def end_commit(self) -> None:
        """COMMIT was answered, or its answer is lost."""
        with self._lock:
            self._commits = False

    def sleep(self, seconds: float) -> None:
        """Raises Cancelled."""
        self._requested.wait(seconds)
        self.raise_if_requested()

    def _check(self) -> None:
        if self._requested.is_set() and not self._commits:
            raise Cancelled
