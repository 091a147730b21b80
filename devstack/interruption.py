"""Ctrl-C and its kin, taken at the places where the run command can stop."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType


class Interrupted(Exception):
    """Somebody asked us to stop."""


class Interruption:
    """The first signal is noted and raised by `check`; the second calls `insist`, for those who cannot
    wait.
    """

    def __init__(self) -> None:
        self.asked = False
        self.insist: Callable[[], None] = lambda: None

    def listen(self) -> None:
        """Take over SIGINT, SIGTERM and, unless nohup has it ignored, SIGHUP (the terminal was closed)."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._take)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._take)

    def check(self) -> None:
        """Raises Interrupted once a signal has come."""
        if self.asked:
            raise Interrupted

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            self.insist()
        self.asked = True
