"""A folder for servers that live as long as a test run."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108  a file system, not a file of ours
MEMORY_BYTES_MIN = 4 * 2**30
"""What must be free, as a file system and as memory. A container's usual 64 MB are no place for a database."""
_PREFIX = "ballast-servers-"
_TRIES_MAX = 100


@contextmanager
def servers_folder() -> Iterator[Path]:
    """Removed at the end. In memory where there is room: a new database is hundreds of files, and some disks take a
    millisecond to make each.

    What a killed run left in memory is removed by the next one. Not one of pytest's folders, which are closed to other
    users: PostgreSQL under root is one.
    """
    parent = memory()
    folder, lock = _in(parent) if parent else (Path(tempfile.mkdtemp(prefix=_PREFIX)), None)
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def memory() -> Path | None:
    """The folder for what is to be in memory; None where there is none, or too little room."""
    try:
        facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        available = 1024 * int(facts["MemAvailable"].split()[0])
        if min(available, shutil.disk_usage(MEMORY).free) < MEMORY_BYTES_MIN:
            return None
    except (OSError, KeyError, ValueError):
        return None
    return MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else None


def _in(parent: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor that keeps it locked."""
    for abandoned in parent.glob(f"{_PREFIX}*"):
        if (lock := _locked(abandoned)) is not None:
            shutil.rmtree(abandoned, ignore_errors=True)
            os.close(lock)
    for _ in range(_TRIES_MAX):
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        lock = _locked(folder)
        if lock is not None:
            if folder.exists():
                return folder, lock
            os.close(lock)  # another run took it for abandoned before it was locked
    raise TimeoutError(f"{_TRIES_MAX} new folders in {parent} could not be locked")


def _locked(folder: Path) -> int | None:
    """A descriptor that keeps the folder locked; None while another process does, or where it is not ours or gone."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor
    return None
