"""Where backups are kept. One counts there once its note says that it was proven; the note is written last."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from dbcore.backups.errors import BackupFailed
from dbcore.sentences import sentence
from dbcore.settings import Settings, values_of

NAME = re.compile(r"ballast-[a-z0-9]+-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}\.tar(?:\.age)?")
NOTE_SUFFIX = ".json"


class Note(BaseModel):
    """Says of a stored backup that it was proven, and how to know it again.

    taken_at, proven_at -- ISO 8601 in UTC. bytes, sha256 -- of the file as it is stored. checks -- that passed.
    inbox -- jobs of Redis in it; None: they are not.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    taken_at: str
    proven_at: str
    bytes: int
    sha256: str
    sealed: bool
    checks: int
    inbox: int | None
    revision: str
    server_version: str
    ballast: str


@dataclass(frozen=True, slots=True)
class Stored:
    """note -- None: it was not proven."""

    name: str
    bytes: int
    note: Note | None

    @property
    def taken_at(self) -> str:
        """As the name has it."""
        return self.name.split("-")[2]


class Store(Protocol):
    """Raises BackupFailed with a sentence.

    where -- for people. folder -- where a file that is to be put there is best made; None: anywhere. lists -- whether
    it can say what it has. takes_sealed_alone -- others would be read by whoever keeps them.
    """

    where: str
    folder: Path | None
    lists: bool
    takes_sealed_alone: bool

    def put(self, file: Path, name: str, sha256: str, note: Note | None) -> None:
        """The file, whole or not at all, and then its note. None: it was not proven."""

    def listed(self) -> list[Stored]:
        """Newest first."""

    def fetch(self, name: str, file: Path) -> None: ...

    def delete(self, name: str) -> None: ...


def open_store(to: str, settings: Settings) -> Store:
    """Raises BackupFailed for an address that is none."""
    if re.match(r"chat(:|$)", to):
        from ballast.backups.chat import ChatStore

        return ChatStore(to, settings)
    if re.match(r"s3://[^/]+", to):
        from ballast.backups.s3 import CREDENTIALS, S3Store

        return S3Store(to, values_of(CREDENTIALS))
    if re.match(r"[a-z0-9]+://", to):
        raise BackupFailed(
            sentence("BACKUP_TO: expected a folder, s3://bucket/prefix or chat:ID; got {got}", got=to)
        )
    return FolderStore(Path(to))


def read_note(raw: bytes) -> Note | None:
    try:
        return Note.model_validate_json(raw)
    except ValidationError:
        return None


class FolderStore:
    lists = True
    takes_sealed_alone = False

    def __init__(self, folder: Path) -> None:
        self.folder: Path | None = folder
        self._folder = folder
        self.where = str(folder)

    def put(self, file: Path, name: str, sha256: str, note: Note | None) -> None:
        """The very file that was proven gets its name, if it was made in this folder."""
        with told(self._folder):
            if file.stat().st_dev != self._folder.stat().st_dev:
                moved = self._folder / f".{name}.partial"
                shutil.copyfile(file, moved)
                file = moved
            _sync(file)
            # Beside the file, in the run's own folder: what a killed run leaves there is removed by the next.
            partial = file.with_name(f".{name}{NOTE_SUFFIX}.partial")
            file.rename(self._folder / name)
            _sync(self._folder)
            if note is None:
                return
            partial.write_text(note.model_dump_json(indent=1) + "\n")
            _sync(partial)
            partial.rename(self._folder / f"{note.name}{NOTE_SUFFIX}")
            _sync(self._folder)

    def listed(self) -> list[Stored]:
        with told(self._folder):
            if not self._folder.exists():
                return []
            found = [path for path in self._folder.iterdir() if NAME.fullmatch(path.name)]
            stored = [Stored(path.name, path.stat().st_size, self._note_of(path)) for path in found]
        return sorted(stored, key=lambda each: each.taken_at, reverse=True)

    def _note_of(self, path: Path) -> Note | None:
        note = path.with_name(path.name + NOTE_SUFFIX)
        return read_note(note.read_bytes()) if note.exists() else None

    def fetch(self, name: str, file: Path) -> None:
        with told(self._folder):
            shutil.copyfile(self._folder / name, file)

    def delete(self, name: str) -> None:
        """The note first: what has none does not count."""
        with told(self._folder):
            (self._folder / f"{name}{NOTE_SUFFIX}").unlink(missing_ok=True)
            (self._folder / name).unlink(missing_ok=True)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What the operating system refuses is said in one sentence."""
    try:
        yield
    except OSError as error:
        raise BackupFailed(f"{error.filename or path}: {error.strerror or error}") from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
