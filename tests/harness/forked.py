"""The process that the tests' programs are forked from (tests/harness/starter.py): it has imported what they import,
and nothing that depends on settings, arguments or apps. It has no threads, no connections and no signal handlers.

    python forked.py <descriptor of a socket to pytest> <spaces, room for the programs' command lines>

It says once which names of the environment mattered to what it imported. Then each message is a start, with the
program's three streams; the answer is a process id, or 0 if the kernel refuses. It ends when pytest does.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[0] = str(ROOT)
INSTALLED_PATH = sys.path[1:]

from ballast.process.garbage import put_off_collection  # noqa: E402
from devstack import parent_death  # noqa: E402

MESSAGE_BYTES_MAX = 128 * 1024
PACKAGES = ("dbcore", "ballast", "bot_frontend", "workers", "devstack/telegram")
LIBRARIES = (
    *("celery.bin.celery", "celery.apps.worker", "celery.apps.beat", "celery.concurrency.prefork"),
    *("celery.worker.consumer", "celery.fixups.django", "kombu.transport.redis"),
)
LATER = {"ballast.apps.installed", "workers.celery", "workers.celeryconfig", "workers.kombu_patches"}
"""They read settings or arguments, or change Celery. Whatever imports them is left to the programs too."""
UNFIT = {"__main__", "flowerconfig", "pytest_plugin", "migrations", "testing"}
"""Parts of names of what no program of Ballast imports by name."""

_CLONE_PARENT, _CLONE_CHILD_CLEARTID, _CLONE_CHILD_SETTID = 0x8000, 0x200000, 0x1000000  # <linux/sched.h>
_CLONE3 = 435  # its number is the same for all processors
_PR_SET_MM, _PR_SET_MM_ARG_END, _PR_GET_TID_ADDRESS = 35, 9, 40  # <linux/prctl.h>
_ARG_START, _ARG_END = 47, 48  # fields of /proc/<pid>/stat
_libc = ctypes.PyDLL(None, use_errno=True)  # unlike CDLL, it holds Python's lock meanwhile


class _NotYet(ImportError):
    """For modules in LATER."""


class _Withheld:
    def find_spec(self, name: str, *_: object) -> None:
        if name in LATER:
            raise _NotYet(name)


def import_all() -> set[str]:
    """Returns the names that were looked up in the environment meanwhile."""
    asked: set[str] = set()
    plain = type(os.environ)

    class Watched(plain):  # type: ignore[misc, valid-type]  # a class of the standard library's own
        def __getitem__(self, name: str) -> str:
            asked.add(name)
            return str(super().__getitem__(name))

    os.environ.__class__ = Watched
    sys.meta_path.insert(0, _Withheld())
    for name in (*LIBRARIES, *_own_modules()):
        with contextlib.suppress(_NotYet):
            importlib.import_module(name)
    del sys.meta_path[0]
    os.environ.__class__ = plain
    return asked


def _own_modules() -> Iterator[str]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if not UNFIT.intersection(parts):
                yield ".".join(parts).removesuffix(".__init__")


def fork_for_the_parent() -> int:
    """os.fork(), but the child is our parent's: its process id here, 0 in the child, -1 if the kernel refuses."""
    thread_id = ctypes.c_void_p()
    _libc.prctl(_PR_GET_TID_ADDRESS, ctypes.byref(thread_id), 0, 0, 0)
    flags = _CLONE_PARENT | (_CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID if thread_id.value else 0)
    arguments = struct.pack("8Q", flags, 0, thread_id.value or 0, 0, 0, 0, 0, 0)
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = int(_libc.syscall(_CLONE3, arguments, len(arguments)))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    return pid


def serve(pytest: socket.socket) -> dict[str, Any] | None:
    """Returns in each child, with what it is to become; in this process when pytest has ended."""
    while True:
        try:
            message, streams, _, _ = socket.recv_fds(pytest, MESSAGE_BYTES_MAX, 3)
        except KeyboardInterrupt:
            return None
        if not message:
            return None
        pid = fork_for_the_parent()
        if pid == 0:
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
        for stream in streams:
            os.close(stream)
        if pid == 0:
            pytest.close()
            start: dict[str, Any] = json.loads(message)
            return start
        pytest.send(str(max(pid, 0)).encode())


def become(start: dict[str, Any]) -> None:
    """Run a program as `python -m` does in a new process."""
    if start["new_session"]:
        os.setsid()
    os.chdir(start["cwd"])
    environment: dict[str, str] = start["env"]
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    if environment.get("PYTHONUNBUFFERED"):
        sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
    own_path = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    sys.path[:] = [str(Path.cwd()), *dict.fromkeys([*map(os.path.abspath, own_path), *INSTALLED_PATH])]
    program: list[str] = start["argv"]
    if start["tied"] is not None:
        program = parent_death.tie([*start["tied"], "--", *program])
    sys.orig_argv[:] = program
    _show(program)
    _python, _m, module, *arguments = program
    sys.argv[:] = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _show(program: list[str]) -> None:
    """Where the kernel looks for the command line."""
    fields = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()
    first, end = int(fields[_ARG_START - 2]), int(fields[_ARG_END - 2])
    line = "".join(f"{part}\0" for part in program).encode(errors="surrogateescape")[: end - first - 1]
    ctypes.memmove(first, line.ljust(end - first, b"\0"), end - first)
    # Without the right to do this, the line ends in empty arguments.
    _libc.prctl(_PR_SET_MM, _PR_SET_MM_ARG_END, ctypes.c_ulong(first + len(line)), 0, 0)


if __name__ == "__main__":
    put_off_collection()  # as all programs do at their start
    connection = socket.socket(fileno=int(sys.argv[1]))
    asked_for = import_all()
    gc.collect()
    gc.freeze()  # what is imported stays; looking at it when each program ends takes a second
    connection.send(json.dumps(sorted(asked_for)).encode())
    what = serve(connection)
    if what is not None:
        become(what)
