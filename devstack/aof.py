"""The append-only file of the embedded Redis after a power cut: what is not whole at its end is cut off.

Redis does this itself if the file merely ends too soon. If the file system left zeros at the end it refuses to start,
and its repair tool is not in the package that brings the server.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from devstack.options import StartRefused
from devstack.state_dir import StateDir

READ_BYTES = 1 << 20
ARGUMENTS_MAX = 1 << 20

_FILE = re.compile(r"^file (\S+) seq \d+ type i$", re.MULTILINE)
_COUNT = re.compile(rb"[*$](\d{1,10})\r\n")


@dataclass(frozen=True, slots=True)
class Repair:
    """copy -- where the file as it was is kept; None where nothing had to be cut."""

    file: Path
    bytes_before: int
    bytes_kept: int
    copy: Path | None


def repair(folder: Path) -> Repair:
    """Cut the newest append-only file of the Redis of `make run` in this folder at its last whole command.

    Raises StartRefused where it runs, or there is none.
    """
    state_dir = StateDir(folder)
    with state_dir.held():
        return cut(newest_in(state_dir.folder / "redis" / "appendonlydir"))


def newest_in(folder: Path) -> Path:
    """The file that Redis appends to, by its manifest. Raises StartRefused where there is none."""
    manifest = folder / "appendonly.aof.manifest"
    names: list[str] = _FILE.findall(manifest.read_text()) if manifest.exists() else []
    if not names:
        raise StartRefused(f"{folder}: there is no append-only file of Redis here")
    return folder / names[-1]


def cut(file: Path) -> Repair:
    before, kept = file.stat().st_size, whole_bytes(file)
    if kept == before:
        return Repair(file, before, kept, None)
    copy = file.with_name(f"{file.name}.damaged")
    number = 1
    while copy.exists():
        number += 1
        copy = file.with_name(f"{file.name}.damaged-{number}")
    shutil.copy2(file, copy)
    with file.open("r+b") as opened:
        opened.truncate(kept)
        os.fsync(opened.fileno())
    return Repair(file, before, kept, copy)


def whole_bytes(file: Path) -> int:
    """How much of it is whole commands; a MULTI without its EXEC is not whole."""
    whole = 0
    in_transaction = False
    with file.open("rb", buffering=READ_BYTES) as opened:
        while (name := _command(opened)) is not None:
            if name == b"multi":
                in_transaction = True
            elif name == b"exec":
                in_transaction = False
            if not in_transaction:
                whole = opened.tell()
    return whole


def _command(opened: BinaryIO) -> bytes | None:
    """The name of the next command, in small letters; None at the end, or where what follows is none."""
    line = opened.readline(64)
    if line.startswith(b"#"):  # a time stamp
        return b"#" if line.endswith(b"\r\n") else None
    count = _COUNT.fullmatch(line)
    if count is None or not line.startswith(b"*") or not 1 <= int(count[1]) <= ARGUMENTS_MAX:
        return None
    name = b""
    for number in range(int(count[1])):
        size = _COUNT.fullmatch(opened.readline(64))
        if size is None:
            return None
        value = opened.read(int(size[1]))
        if len(value) != int(size[1]) or opened.read(2) != b"\r\n":
            return None
        if number == 0:
            name = value.lower()
    return name
