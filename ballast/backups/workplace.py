"""A folder for one run, gone after it. What a killed run left is removed by the next one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ballast.backups.stores import told
from ballast.process.locked_folders import locked_folder

_PREFIX = ".ballast-backup-"


@contextmanager
def workplace(parent: Path | None) -> Iterator[Path]:
    """parent -- made if it is missing; None: the system's folder for temporary files. Raises BackupFailed."""
    where = parent or Path(tempfile.gettempdir())
    with told(where):
        where.mkdir(parents=True, exist_ok=True)
        with locked_folder(where, _PREFIX) as folder:
            yield folder
