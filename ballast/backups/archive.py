"""A backup's file: a tar with a manifest and what the manifest has checksums of."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from dbcore.backups.errors import BackupDamaged
from dbcore.backups.facts import Facts
from dbcore.sentences import sentence

FORMAT, VERSION = "ballast-backup", 1
MANIFEST, DUMP, INBOX = "manifest.json", "database.dump", "inbox.jsonl.gz"
_MANIFEST_BYTES_MAX = 10_000_000
_CHUNK = 1 << 20


class PackedFile(BaseModel):
    model_config = ConfigDict(frozen=True)

    bytes: int
    sha256: str


class BackupManifest(BaseModel):
    """schema_name -- BALLAST_SCHEMA. schemas -- of which it is a backup; empty: of the whole database.

    taken_at -- the moment of the dump, ISO 8601 in UTC. inbox -- how many jobs were on record in Redis right before it;
    None: they are not in it.
    """

    model_config = ConfigDict(frozen=True)

    format: str = FORMAT
    version: int = VERSION
    ballast: str
    bot_id: int | None
    taken_at: str
    server_version: str
    programs_major: int
    revision: str
    schema_name: str | None
    schemas: tuple[str, ...]
    search_path: str
    currency: str
    facts: Facts
    inbox: int | None
    files: dict[str, PackedFile]


def described(path: Path) -> PackedFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return PackedFile(bytes=path.stat().st_size, sha256=digest.hexdigest())


def pack(manifest: BackupManifest, files: Mapping[str, Path], archive: Path) -> None:
    """Write the archive. files -- by their names in it."""
    head = archive.with_name(MANIFEST)
    head.write_bytes(manifest.model_dump_json(indent=1).encode())
    with tarfile.open(archive, "w") as tar:
        for name, path in {MANIFEST: head, **files}.items():
            info = tar.gettarinfo(path, name)
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            with path.open("rb") as file:
                tar.addfile(info, file)
    head.unlink()


def unpack(archive: Path, folder: Path) -> BackupManifest:
    """Everything of the archive into the folder, checked against the manifest.

    Raises BackupDamaged for what is no backup, is cut, or was changed.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            manifest = _manifest(tar)
            for name, expected in manifest.files.items():
                _extract(tar, name, expected, folder / name)
    except (tarfile.TarError, EOFError) as error:
        raise BackupDamaged(sentence("it is no backup, or was cut off ({error})", error=error)) from error
    return manifest


def _manifest(tar: tarfile.TarFile) -> BackupManifest:
    first = tar.next()
    if first is None or first.name != MANIFEST or first.size > _MANIFEST_BYTES_MAX:
        raise BackupDamaged(sentence("it is no backup of Ballast"))
    file = tar.extractfile(first)
    try:
        manifest = BackupManifest.model_validate_json(b"" if file is None else file.read())
    except ValidationError as error:
        raise BackupDamaged(
            sentence("its manifest is damaged ({count} errors)", count=error.error_count())
        ) from error
    if manifest.format != FORMAT or manifest.version != VERSION:
        raise BackupDamaged(
            sentence(
                "expected the format {expected}, found {found}: use a newer release",
                expected=f"{FORMAT} {VERSION}",
                found=f"{manifest.format} {manifest.version}",
            )
        )
    return manifest


def _extract(tar: tarfile.TarFile, name: str, expected: PackedFile, path: Path) -> None:
    member = tar.next()
    file = None if member is None or member.name != name else tar.extractfile(member)
    if file is None or path.name != name:
        raise BackupDamaged(sentence("it is cut off or was changed: {name} is missing", name=name))
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as out:
        while piece := file.read(_CHUNK):
            size += len(piece)
            digest.update(piece)
            out.write(piece)
    if PackedFile(bytes=size, sha256=digest.hexdigest()) != expected:
        raise BackupDamaged(
            sentence("it is cut off or was changed: the checksum of {name} differs", name=name)
        )
