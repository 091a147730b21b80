"""A folder for servers that live as long as a test run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ballast.process.locked_folders import locked_folder

MEMORY = Path("/dev/shm")  # noqa: S108  a file system, not a file of ours
MEMORY_BYTES_MIN = 4 * 2**30
"""What must be free, as a file system and as memory. A container's usual 64 MB are no place for a database."""
_PREFIX = "ballast-servers-"


@contextmanager
def servers_folder() -> Iterator[Path]:
    """Removed at the end. In memory where there is room: a new database is hundreds of files, and some disks take a
    millisecond to make each.

    Not one of pytest's folders, which are closed to other users: PostgreSQL under root is one.
    """
    with locked_folder(memory() or Path(tempfile.gettempdir()), _PREFIX) as folder:
        folder.chmod(0o711)
        yield folder


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
