"""A query's rows into a file, by the server's own COPY: memory does not grow with their number."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from sqlalchemy import Connection, text

from dbcore.guard import pool
from dbcore.qualified_names import qualified
from dbcore.sentences import Explained

Form = Literal["csv", "jsonl"]

PIECE_SECONDS = 60.0
"""What the server may take for the next piece of a COPY."""

_STATEMENT_TIMEOUT = "6h"  # in place of the role's own, which is meant for the bot's calls

# A line of JSON has no control characters, so that these never occur in it and nothing is quoted.
_JSON_LINES = "FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02'"


class ExportRefused(Explained):
    """It cannot be exported, or is not whole. It says what was expected and what was found."""


@contextmanager
def snapshot(url: str, schema: str | None) -> Iterator[Connection]:
    """Everything as it is at one moment, read-only: also of a server that takes no writes any more."""
    engine = pool.single(url, application_name="ballast export", schema=schema)
    engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with engine.begin() as connection:
        connection.execute(
            text("SELECT set_config('statement_timeout', :limit, true)"), {"limit": _STATEMENT_TIMEOUT}
        )
        yield connection


class HashedFile:
    """A new file that only its owner reads, and what it holds. Raises ExportRefused if it cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._digest = hashlib.sha256()
        with told(path):
            self._file: BinaryIO = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, piece: bytes) -> int:
        with told(self.path):
            self._file.write(piece)
        self._digest.update(piece)
        self.size += len(piece)
        return len(piece)

    def close(self) -> None:
        """It is on the disk then."""
        with told(self.path):
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
            finally:
                self._file.close()


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What the operating system refuses is said in one sentence."""
    try:
        yield
    except OSError as error:
        raise ExportRefused(f"{path}: {error.strerror or error}") from error


class Writable(Protocol):
    def write(self, piece: bytes, /) -> int: ...


def copy(connection: Connection, schema: str | None, query: str, form: Form, file: Writable) -> int:
    """Write the rows of a query; how many there are. Raises SQLAlchemy's and the driver's errors, ExportRefused."""
    query = qualified(query, schema)
    if form == "csv":
        statement = f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)"
    else:
        statement = f"COPY (SELECT row_to_json(line) FROM ({query}) AS line) TO STDOUT ({_JSON_LINES})"  # noqa: S608
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101  it is connected
    with driver.cursor() as cursor:
        cursor.seconds = PIECE_SECONDS
        cursor.copy_expert(statement, file)
        return int(cursor.rowcount)
