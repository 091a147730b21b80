"""What the two embedded servers have in common: a program that dies with its parent and writes one log.

EmbeddedServerError             a server cannot be prepared or started; one sentence for a person
└── FolderRefused               its data folder is not usable by the user it must run as
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from devstack.parent_death import tied_to_parent

START_SECONDS_MAX = 60.0
_POLL_SECONDS = 0.05
_TAIL_LINES = 8


class EmbeddedServerError(Exception):
    """The server cannot run; the message is one sentence, with the last lines of its log where it has
    some.
    """


class FolderRefused(EmbeddedServerError):
    """The data folder cannot be used by the user the server must run as."""


class Command(NamedTuple):
    """How to run a server in the foreground. `env` is added to the environment; `user` is None to stay who
    we are.
    """

    argv: list[str]
    env: dict[str, str]
    user: str | None


def children_of(pid: int) -> list[int]:
    """The processes that it started and that live; none where it is not there itself."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


class ServerProcess:
    """One start of a server: from `start` to `stop` or `kill`, never longer than the thread that started
    it.
    """

    def __init__(self, name: str, command: Command, log: Path, *, death_signal: signal.Signals) -> None:
        self._name = name
        self._log = log
        with log.open("ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                tied_to_parent(
                    command.argv, user=command.user, death_signal=death_signal, parent=os.getpid()
                ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **command.env},
                cwd="/",  # the current folder may be closed to `user`
                start_new_session=True,  # the terminal's Ctrl-C is for the one who started us
            )

    @property
    def pid(self) -> int:
        """The server's own process id: parent_death.py turns into it."""
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_until(self, accepts: Callable[[], bool]) -> None:
        """Return when `accepts` says so. Raises EmbeddedServerError when the server ends first, or takes
        too long.
        """
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if not self.alive():
                raise EmbeddedServerError(
                    f"{self._name} ended with {self._process.returncode} instead of starting:\n{self.tail()}"
                )
            if accepts():
                return
            time.sleep(_POLL_SECONDS)
        self.kill()
        raise EmbeddedServerError(
            f"{self._name} did not accept connections within {START_SECONDS_MAX:.0f} s:\n{self.tail()}"
        )

    def stop(self, stop_signal: signal.Signals, *, timeout_seconds: float = 30.0) -> None:
        """Ask it to end and wait; past the time-out it is killed. Ended already is fine."""
        if self.alive():
            self._process.send_signal(stop_signal)
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        if self.alive():
            self._process.kill()
        self._process.wait()

    def tail(self) -> str:
        """The last lines this start has logged."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])
