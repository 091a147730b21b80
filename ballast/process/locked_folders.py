"""Folders that a run has to itself and that go with it. What a killed run left is removed by the next one."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TRIES_MAX = 100


@contextmanager
def locked_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `parent`, locked while the block runs and removed at its end.

    prefix -- begins its name. Folders of the same prefix that nobody has locked are removed first.
    Raises OSError, and TimeoutError if other runs take each new folder for abandoned.
    """
    for abandoned in parent.glob(f"{prefix}*"):
        if (lock := _locked(abandoned)) is not None:
            shutil.rmtree(abandoned, ignore_errors=True)
            os.close(lock)
    folder, lock = _new(parent, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _new(parent: Path, prefix: str) -> tuple[Path, int]:
    """The folder, and the descriptor that keeps it locked."""
    for _ in range(_TRIES_MAX):
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
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
