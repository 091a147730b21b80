"""A frozen server: its processes are stopped, its sockets are not. The kernel goes on to accept and to take bytes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.embedded import children_of

# The thaw hangs on a pipe of ours, so that it comes also after our death by kill -9: a stopped process ignores
# its parent's death, and would stay for good.
_GUARD = (
    'pids=; while read -r pid; do pids="$pids $pid"; kill -STOP "$pid"; echo $?; done; '
    'for pid in $pids; do kill -CONT "$pid"; done'
)
_STOP_SECONDS_MAX = 30.0
_POLL_SECONDS = 0.005


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """The processes stand still inside the `with` block.

    Raises ProcessLookupError where one of them is not there.
    """
    with _guard() as guard:
        for pid in pids:
            if not _stop(guard, pid):
                raise ProcessLookupError(f"there is no process {pid} to be stopped")
        yield


@contextmanager
def frozen_server(postmaster_pid: int) -> Iterator[None]:
    """The postmaster and all that it started stand still inside the `with` block.

    Raises ProcessLookupError where there is no such process.
    """
    with _guard() as guard:
        # First, so that the list of its children stays true while they are stopped one by one.
        if not _stop(guard, postmaster_pid):
            raise ProcessLookupError(f"there is no process {postmaster_pid} to be stopped")
        for pid in children_of(postmaster_pid):
            _stop(guard, pid)
        yield


@contextmanager
def _guard() -> Iterator[subprocess.Popen[bytes]]:
    guard = subprocess.Popen(
        ["sh", "-c", _GUARD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        start_new_session=True,  # the terminal's Ctrl-C must not take the thaw away
    )
    with guard:
        yield guard


def _stop(guard: subprocess.Popen[bytes], pid: int) -> bool:
    """Return when the process stands still; False where it is not there."""
    assert guard.stdin is not None and guard.stdout is not None  # noqa: S101  both are pipes
    guard.stdin.write(b"%d\n" % pid)
    if guard.stdout.readline() != b"0\n":
        return False
    until = time.monotonic() + _STOP_SECONDS_MAX
    while (state := state_of(pid)) not in {"T", "Z", None}:
        if time.monotonic() > until:
            raise TimeoutError(f"process {pid} is in state {state} after {_STOP_SECONDS_MAX:.0f} s")
        time.sleep(_POLL_SECONDS)
    return state is not None


def state_of(pid: int) -> str | None:
    """The kernel's letter for it: R running, S sleeping, T stopped, Z ended and not yet waited for; None: gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]
    except FileNotFoundError:
        return None
