"""Names of processes that a neighbour can check: whether the process of that name has ended, without waiting for its
heartbeat to be missed.

    <host>:<pid>:<8 letters>:<where>:<start>

where -- the running kernel and the PID namespace, within which a pid means one process.
start -- the process's start time in clock ticks since boot, so that a pid that is used again is another process.
"""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from functools import cache
from pathlib import Path

_ENDED_STATES = frozenset("ZXx")
_STATE, _START_TIME = 0, 19
"""Fields of /proc/<pid>/stat behind the program's name (proc_pid_stat(5), numbers 3 and 22)."""


def name_of_this_process() -> str:
    """Unlike any other's, also after a restart under the same pid."""
    host, pid, word = socket.gethostname(), os.getpid(), uuid.uuid4().hex[:8]
    fields = _stat(pid)
    return f"{host}:{pid}:{word}:{_where()}:{fields[_START_TIME] if fields else ''}"


def has_ended(name: str) -> bool:
    """Whether the process of this name ran here and is no more. False where that cannot be told: it ran elsewhere, an
    older release named it, or this system has no /proc.
    """
    parts = name.split(":")
    if len(parts) != 5 or not parts[1].isdecimal() or not parts[3] or not parts[4] or parts[3] != _where():
        return False
    fields = _stat(int(parts[1]))
    return fields is None or fields[_STATE] in _ENDED_STATES or fields[_START_TIME] != parts[4]


@cache
def _where() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  not a path
    except OSError:
        return ""
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:8]


def _stat(pid: int) -> list[str] | None:
    """None if there is no such process. The program's name may hold anything, also a parenthesis."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2].split()
    except OSError:
        return None
