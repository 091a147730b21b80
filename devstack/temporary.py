"""A folder for servers that live as long as a test run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def servers_folder() -> Iterator[Path]:
    """Removed at the end. Not one of pytest's, which are closed to other users: PostgreSQL under root is one."""
    folder = Path(tempfile.mkdtemp(prefix="ballast-tests-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
