"""`python -m devstack kill-workers`: kill -9 of the Celery workers of this folder's `make run`, and of no others."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from devstack.embedded import children_of
from devstack.options import StartRefused
from devstack.state_dir import StateDir


def kill_workers(project: Path) -> int:
    """How many processes were killed, pools included. Raises StartRefused where no `make run` is up in the folder."""
    run = StateDir(project).holder()
    workers = [pid for pid in _descendants(run) if _is_worker(pid)] if run is not None else []
    if not workers:
        raise StartRefused("no workers of `make run` or `ballast run` run in this folder")
    for pid in workers:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # it ended with the one it belongs to
            continue
    return len(workers)


def _descendants(pid: int) -> list[int]:
    children = children_of(pid)
    return children + [further for child in children for further in _descendants(child)]


def _is_worker(pid: int) -> bool:
    try:
        return b"\0workers\0worker\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
