"""A folder that is whole or not there: it grows under another name, and a killed export leaves only that."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbcore.exporting.copying import ExportRefused, told
from dbcore.exporting.manifest import MANIFEST
from dbcore.sentences import sentence

PARTIAL = ".partial"
_OURS = (".csv", ".jsonl", MANIFEST)


@contextmanager
def growing(folder: Path) -> Iterator[Path]:
    """Where to write; it gets its name when the block is over, and goes if that raises.

    Raises ExportRefused if there is something in the folder already, or another export writes to it.
    """
    folder = folder.absolute()
    if not is_free(folder):
        raise ExportRefused(sentence("{folder}: expected a new or an empty folder", folder=folder))
    partial = folder.with_name(folder.name + PARTIAL)
    with told(partial):
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(partial, os.O_RDONLY)
    try:
        _take(handle, partial)
        _clear(partial)
        try:
            yield partial
            os.fsync(handle)
            with told(folder):
                partial.rename(folder)
        except BaseException:
            _clear(partial)
            partial.rmdir()
            raise
    finally:
        os.close(handle)


def is_free(folder: Path) -> bool:
    """Whether there is nothing of the name, or an empty folder."""
    with told(folder):
        return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def _take(handle: int, partial: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ExportRefused(sentence("{folder}: another export is writing to it", folder=partial)) from None


def _clear(partial: Path) -> None:
    """Remove what a killed export left; nothing that it cannot have written."""
    with told(partial):
        left = list(partial.iterdir())
        strange = [path.name for path in left if not path.name.endswith(_OURS) or not path.is_file()]
        if strange:
            raise ExportRefused(
                sentence(
                    "{folder}: expected what is left of an export, found {name}",
                    folder=partial,
                    name=strange[0],
                )
            )
        for path in left:
            path.unlink()
