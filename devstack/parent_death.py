"""Ties a program to the life of its starter: `python -m devstack.parent_death [options] -- program argument…`

The kernel signals the program when its parent ends, even by kill -9 (PR_SET_PDEATHSIG). This program then
becomes the program by exec, so it keeps the process id its parent knows and costs nothing more. As root
it can first become another user.

Two things to know about PR_SET_PDEATHSIG (prctl(2)):
- a change of user clears it, so it is set after that;
- "parent" means the parent's *thread* that forked: start such programs from a thread that lives on,
  such as the main one.

Imports the standard library only: it is also run by its path, isolated (`python -I -S`), to start in 20 ms.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
# In the program's environment: its own process id, for it to hand on to its children as --parent.
TIED_PID = "BALLAST_TIED_PID"


def tied_to_parent(
    argv: Sequence[str],
    *,
    user: str | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    parent: int | str | None = None,
) -> list[str]:
    """The argument list that runs `argv` so that it dies with its parent, from any folder.

    With `parent`, the process id of the caller, a program whose parent died before this was up does
    not start at all.
    """
    command = [sys.executable, "-I", "-S", os.path.abspath(__file__), "--signal", death_signal.name]  # noqa: PTH100
    if user is not None:
        command += ["--user", user]
    if parent is not None:
        command += ["--parent", str(parent)]
    return [*command, "--", *argv]


def become(user: str) -> None:
    """Give up root for good. `user` is a name, or a numeric id where the folder's owner has no name here.

    Raises KeyError for an unknown name, PermissionError where the process is not root.
    """
    if user.isdecimal():
        uid, gid = int(user), int(user)
    else:
        entry = pwd.getpwnam(user)
        uid, gid = entry.pw_uid, entry.pw_gid
    os.setgroups([gid])
    os.setgid(gid)
    os.setuid(uid)


def die_with_parent(death_signal: signal.Signals) -> None:
    """Ask the kernel to send `death_signal` to this process when its parent ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"prctl(PR_SET_PDEATHSIG): {os.strerror(errno)}")


def tie(arguments: Sequence[str] | None = None) -> list[str]:
    """Tie this process to its parent and return the program that it is to become; or exit with 126 (refused) or 128
    (parent is gone).
    """
    parser = argparse.ArgumentParser(
        prog="devstack.parent_death", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--user", help="become this user first (needs root)")
    parser.add_argument("--signal", default="SIGTERM", help="sent when the parent ends, e.g. SIGINT")
    parser.add_argument(
        "--parent", type=int, help="process id of the parent, to notice that it is gone already"
    )
    parser.add_argument("program", nargs="+", help="the program and its arguments, after --")
    options = parser.parse_args(arguments)

    parent = os.getppid() if options.parent is None else options.parent
    os.get_exec_path()  # imports what execvp needs, while we may still read our Python's folder
    try:
        if options.user is not None:
            become(options.user)
        die_with_parent(signal.Signals[options.signal])
    except (KeyError, OSError) as error:
        print(f"parent_death: {error}", file=sys.stderr)
        sys.exit(126)
    if os.getppid() != parent:  # it died before the kernel knew of our wish
        sys.exit(128)
    os.environ[TIED_PID] = str(os.getpid())
    program: list[str] = options.program
    return program


def main(arguments: Sequence[str] | None = None) -> None:
    """Never returns: becomes the program, or exits as `tie` does or with 127 (no such program)."""
    program = tie(arguments)
    try:
        os.execvp(program[0], program)  # noqa: S606  no shell is wanted
    except OSError as error:
        print(f"parent_death: {program[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main()
