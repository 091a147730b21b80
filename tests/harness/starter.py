"""Starts the tests' programs by forking them from one that has imported what they import (tests/harness/forked.py):
most of what the suite took was imports. What is started is pytest's own child, as in a new process in all else.

`Popen` takes the place of subprocess.Popen. It starts in the usual way all that is not `python -m` one of MODULES, that
is in any way unusual, or where this system cannot do it. The fixture `real_starts` is for tests that prove a start as
a user has it; what programs start in turn, such as `make run`, is never forked.
"""

from __future__ import annotations

import atexit
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devstack import parent_death

MODULES = (
    *("ballast", "bot_frontend", "celery", "dbcore", "workers"),
    *("devstack.telegram", "tests.dbcore.fleet_process"),
)
ROOT = Path(__file__).parents[2]
FORKED = Path(__file__).with_name("forked.py")
LINE_BYTES_MAX = 8_000
"""Of a program's command line, as others see it; what is longer is cut off."""
MESSAGE_BYTES_MAX = 100_000
USUAL: dict[str, Any] = {
    "executable": None,
    "preexec_fn": None,
    "close_fds": True,
    "pass_fds": (),
    "shell": False,
    "gid": None,
    "gids": None,
    "uid": None,
    "umask": -1,
    "process_group": -1,
}
FOR_ANY_PROGRAM = {"HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "PATH", "TERM"}
"""Looked up at import for what is nowhere used: translations that Python does not have, pictures in a terminal."""
FOR_THE_INTERPRETER = ("LD_", "MALLOC_", "GLIBC_", "OPENSSL_", "SSL_", "PYTHON")
HEEDED = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}

Real = subprocess.Popen
_execute_child = Real._execute_child  # type: ignore[attr-defined]  # in typeshed it is private
_PARAMETERS = inspect.signature(_execute_child)


class Popen(Real):  # type: ignore[type-arg]  # of text or of bytes, as the one it replaces
    def _execute_child(self, *given: Any) -> None:
        how = _PARAMETERS.bind(self, *given).arguments
        pid = _start(how)
        if pid is None:
            _execute_child(self, *given)
            return
        self.pid = pid
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(how[name] for name in pipes))  # type: ignore[attr-defined]


class _Starter:
    """The process that forks, and the socket to it. It must be started by the main thread: what dies with its parent
    dies with the thread that started this.
    """

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._lock = threading.Lock()
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {
            name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("SSL_")
        }
        with its:
            self._process = Real(
                [sys.executable, str(FORKED), str(its.fileno()), " " * LINE_BYTES_MAX],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
            )
        asked = json.loads(self._socket.recv(MESSAGE_BYTES_MAX) or "[]")
        self.matters = {*asked} - FOR_ANY_PROGRAM - {*environment}  # of the last, _is_fit sees to
        atexit.register(self._end)

    def ask(self, message: bytes, streams: list[int]) -> int:
        with self._lock:
            socket.send_fds(self._socket, [message], streams)
            return int(self._socket.recv(100) or 0)

    def _end(self) -> None:
        if os.getpid() == self.owner:
            self._socket.close()
            self._process.wait()


_starter: _Starter | None = None


def _start(how: Mapping[str, Any]) -> int | None:
    """Its process id; None if it has to be started in the usual way."""
    global _starter
    found = _module_started(how["args"])
    if found is None or any(how.get(name, usual) != usual for name, usual in USUAL.items()):
        return None
    tied, program = found
    given = os.environ if how["env"] is None else how["env"]
    environment = {os.fsdecode(name): os.fsdecode(value) for name, value in given.items()}
    cwd = os.path.abspath(how["cwd"] or ".")  # noqa: PTH100  as the kernel has it
    streams = [how[end] if how[end] != -1 else n for n, end in enumerate(("p2cread", "c2pwrite", "errwrite"))]
    if _starter is None and threading.current_thread() is threading.main_thread():
        _starter = _Starter()
    if _starter is None or _starter.owner != os.getpid() or not _is_fit(environment, cwd, _starter.matters):
        return None
    start = {
        "argv": program,
        "tied": tied,
        "env": environment,
        "cwd": cwd,
        "new_session": how["start_new_session"],
    }
    message = json.dumps(start).encode()
    if len(message) > MESSAGE_BYTES_MAX or any(map(os.isatty, streams)):
        return None
    try:
        return _starter.ask(message, streams) or None
    except OSError:  # it has ended, or a stream is closed
        return None


def _module_started(argv: Any) -> tuple[list[str] | None, list[str]] | None:
    """The options of parent_death.py before it, and the program; None if it is no module of ours."""
    if isinstance(argv, str | bytes | os.PathLike):
        return None
    program, tied = [os.fsdecode(part) for part in argv], None
    tie = parent_death.tied_to_parent([])[:4]
    if program[:4] == tie and "--" in program:
        end = program.index("--")
        tied, program = program[4:end], program[end + 1 :]
        if "--user" in tied:
            return None
    is_ours = program[:2] == [sys.executable, "-m"] and len(program) > 2 and program[2] in MODULES
    return (tied, program) if is_ours else None


def _is_fit(environment: Mapping[str, str], cwd: str, matters: set[str]) -> bool:
    """Whether a new process would import what the starter has imported, and find there what it has found."""
    from tests.harness.servers import AUTHORITY  # not at the top: it imports much

    path = [cwd, *environment.get("PYTHONPATH", "").split(os.pathsep)]
    if not Path(cwd).is_dir() or str(ROOT) not in path:
        return False
    if any(Path(part, "sitecustomize.py").exists() for part in path if part):
        return False
    without_effect = {AUTHORITY, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")}
    return not any(
        name in matters
        or (name.startswith(FOR_THE_INTERPRETER) and name not in HEEDED and value not in without_effect)
        for name, value in environment.items()
    )
