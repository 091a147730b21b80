"""A folder for one run, gone after it. What a killed run left is removed by the next one."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workers.backups.stores import told

PREFIX, SUFFIX = ".ballast-backup-", ".partial"


@contextmanager
def workplace(parent: Path | None) -> Iterator[Path]:
    """parent -- made if it is missing; None: the system's folder for temporary files. Raises BackupFailed."""
    where = parent or Path(tempfile.gettempdir())
    with told(where):
        where.mkdir(parents=True, exist_ok=True)
        _sweep(where)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, suffix=SUFFIX, dir=where))
        handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with told(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _sweep(where: Path) -> None:
    """Whoever made such a folder holds a lock on it while it lives."""
    for left in where.glob(f"{PREFIX}*{SUFFIX}"):
        try:
            handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:  # somebody else's, or just removed
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(handle)
