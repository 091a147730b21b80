"""Backups in S3-compatible storage. Signatures, multipart uploads and retries are obstore's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ballast.backups.archive import described
from ballast.backups.stores import NAME, NOTE_SUFFIX, Note, Stored, read_note, told
from dbcore.backups.errors import BackupFailed
from dbcore.sentences import sentence

if TYPE_CHECKING:
    from obstore.store import S3Store as Bucket

CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
)
"""The usual variables. AWS_ENDPOINT_URL: any storage but Amazon's."""

_CONNECT_SECONDS, _REQUEST_SECONDS, _RETRY_SECONDS = 10, 300, 60
_RETRIES = 3
_ERROR_LENGTH_MAX = 200


class S3Store:
    """A prefix of a bucket."""

    folder: Path | None = None
    lists = True
    takes_sealed_alone = False

    def __init__(self, url: str, environment: Mapping[str, str]) -> None:
        """environment -- values of CREDENTIALS. Raises BackupFailed for an address that is none."""
        try:
            from obstore.exceptions import BaseError
            from obstore.store import S3Store as Bucket
        except ImportError:
            raise BackupFailed(
                sentence("backups in S3 need more packages: pip install 'ballast[backup]'")
            ) from None
        self._errors = BaseError
        self.where = url.rstrip("/")
        given: dict[str, Any] = {name.lower(): value for name, value in environment.items()}
        given.setdefault("aws_region", given.pop("aws_default_region", "us-east-1"))
        if not {"aws_access_key_id", "aws_secret_access_key"} <= given.keys():
            raise BackupFailed(
                sentence("{place}: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set", place=self.where)
            )
        with self._told():
            self._bucket: Bucket = Bucket.from_url(
                self.where,
                config=given,  # type: ignore[arg-type]  # the long names of the same options
                client_options={
                    "allow_http": str(given.get("aws_endpoint_url", "")).startswith("http://"),
                    "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
                    "timeout": timedelta(seconds=_REQUEST_SECONDS),
                },
                retry_config={
                    "max_retries": _RETRIES,
                    "retry_timeout": timedelta(seconds=_RETRY_SECONDS),
                },
            )

    def put(self, file: Path, name: str, sha256: str, note: Note | None) -> None:
        """It is read back and compared: what counts is what is stored."""
        with self._told():
            self._bucket.put(name, file)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            stored = Path(folder) / name
            self.fetch(name, stored)
            digest = described(stored).sha256
        if digest != sha256:
            raise BackupFailed(
                sentence("{place}: what is stored is not what was sent", place=f"{self.where}/{name}")
            )
        if note is not None:
            with self._told():
                self._bucket.put(note.name + NOTE_SUFFIX, note.model_dump_json(indent=1).encode())

    def listed(self) -> list[Stored]:
        with self._told():
            sizes = {
                each["path"].rpartition("/")[2]: each["size"]
                for batch in self._bucket.list()
                for each in batch
            }
            stored = [
                Stored(name, size, self._note_of(name) if name + NOTE_SUFFIX in sizes else None)
                for name, size in sizes.items()
                if NAME.fullmatch(name)
            ]
        return sorted(stored, key=lambda each: each.taken_at, reverse=True)

    def _note_of(self, name: str) -> Note | None:
        return read_note(bytes(self._bucket.get(name + NOTE_SUFFIX).bytes()))

    def fetch(self, name: str, file: Path) -> None:
        with self._told(), told(file), file.open("wb") as out:
            for piece in self._bucket.get(name).stream(min_chunk_size=1 << 20):
                out.write(piece)

    def delete(self, name: str) -> None:
        """The note first: what has none does not count."""
        with self._told():
            for each in (name + NOTE_SUFFIX, name):
                try:
                    self._bucket.delete(each)
                except FileNotFoundError:
                    continue

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the storage refuses, in a sentence without its XML."""
        try:
            yield
        except (self._errors, FileNotFoundError, PermissionError, ValueError) as error:
            words = " ".join(str(error).split())[:_ERROR_LENGTH_MAX]
            raise BackupFailed(f"{self.where}: {words}") from error
