"""Looking at processes and waiting for what they come to."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

# Generous: the machine may be slow, and the condition ends the wait.
PATIENCE_SECONDS = 60.0


def until(condition: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Return when the condition holds; fails the test when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.05)


def gone(process: psutil.Process) -> bool:
    """Ended. One that nobody has waited for yet counts: it holds nothing any more."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it, as they are now."""
    head = psutil.Process(pid)
    return [head, *head.children(recursive=True)]


def until_all_gone(processes: list[psutil.Process]) -> None:
    until(lambda: all(gone(process) for process in processes))
