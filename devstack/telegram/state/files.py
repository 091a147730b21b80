"""Files that came with messages: bytes on disk, facts in the table."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from devstack.telegram.state.store import Store


@dataclass(frozen=True, slots=True)
class StoredFile:
    file_id: str
    file_unique_id: str
    name: str | None
    mime_type: str
    size: int
    width: int | None
    height: int | None


class Files:
    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self,
        content: bytes,
        *,
        name: str | None,
        mime_type: str,
        width: int | None = None,
        height: int | None = None,
    ) -> StoredFile:
        file = StoredFile(
            # Real ids are long, opaque and URL-safe; programs that assume more break here too.
            file_id="BQAC" + secrets.token_urlsafe(48),
            file_unique_id="AgAD" + secrets.token_urlsafe(9),
            name=name,
            mime_type=mime_type,
            size=len(content),
            width=width,
            height=height,
        )
        self.path(file).write_bytes(content)
        self._store.write(
            "INSERT INTO files (file_id, file_unique_id, name, mime_type, size, width, height)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            file.file_id,
            file.file_unique_id,
            name,
            mime_type,
            file.size,
            width,
            height,
        )
        return file

    def get(self, file_id: str) -> StoredFile | None:
        row = self._store.read_one("SELECT * FROM files WHERE file_id = ?", file_id)
        return None if row is None else StoredFile(**dict(row))

    def path(self, file: StoredFile) -> Path:
        return self._store.files_dir / file.file_id
