"""Where messages begin and end.

PostgreSQL's first message has no type byte, only a length and a code; it may be a question (SSL? GSS?) that is
answered by one byte and followed by the real one. After that, each message is a type byte and a length. Redis,
and whatever else, passes as pieces of bytes, as they come.
https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum

SSL_QUESTION = "SSLRequest"
GSS_QUESTION = "GSSENCRequest"
CANCEL = "CancelRequest"
STARTUP = "Startup"
TERMINATE = "X"
BYTES = "bytes"

_FIRST_CODES = {80877103: SSL_QUESTION, 80877104: GSS_QUESTION, 80877102: CANCEL}
_MESSAGE_BYTES_MAX = 1 << 30  # PostgreSQL's own bound
_PIECE_BYTES = 65536


class Side(StrEnum):
    """Who sent a message."""

    CLIENT = "client"
    SERVER = "server"


class Wire(StrEnum):
    """What is spoken."""

    POSTGRES = "postgres"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it passes.

    kind -- PostgreSQL's type letter (`Q`, `C`, `Z`, ...), or one of the names above for what has none.
    connection, position -- both count from 1; position is that among the messages of this side.
    statement -- the SQL it carries or belongs to; in bytes mode the piece itself, read as Latin-1.
    """

    side: Side
    kind: str
    data: bytes
    connection: int
    position: int
    statement: str

    def __str__(self) -> str:
        """One line, for a person."""
        return f"{self.connection}.{self.position} {self.side.value:6} {self.kind:11} {len(self.data):6} B"


async def pieces(reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, bytes]]:
    """Bytes as they come."""
    while data := await reader.read(_PIECE_BYTES):
        yield BYTES, data


async def first_messages(reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, bytes]]:
    """What a PostgreSQL client sends before messages have types; ends after `Startup` or `CancelRequest`."""
    while True:
        data = await _framed(reader, b"")
        if data is None:
            return
        kind = _FIRST_CODES.get(struct.unpack("!I", data[4:8])[0], STARTUP)
        yield kind, data
        if kind in {STARTUP, CANCEL}:
            return


async def typed_messages(reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, bytes]]:
    """A type letter, a length, a body; ends where the stream ends, also inside a message."""
    while True:
        letter = await reader.read(1)
        if not letter:
            return
        data = await _framed(reader, letter)
        if data is None:
            return
        yield chr(letter[0]), data


async def _framed(reader: asyncio.StreamReader, letter: bytes) -> bytes | None:
    try:
        length = await reader.readexactly(4)
        size = struct.unpack("!I", length)[0]
        if not 4 <= size <= _MESSAGE_BYTES_MAX:
            return None
        return letter + length + await reader.readexactly(size - 4)
    except asyncio.IncompleteReadError:
        return None


def statement_of(kind: str, data: bytes) -> str | None:
    """The SQL in a client's message, where it is one that carries SQL."""
    if kind == "Q":
        return data[5:].rstrip(b"\0").decode(errors="replace")
    if kind == "P":  # a name, then the statement, then the types of its parameters
        return data[5:].split(b"\0", 2)[1].decode(errors="replace")
    return None


def message(letter: str, body: bytes) -> bytes:
    return letter.encode() + struct.pack("!I", len(body) + 4) + body


def error_response(*, severity: str, sqlstate: str | None, text: str) -> bytes:
    fields = [f"S{severity}", f"V{severity}", *([f"C{sqlstate}"] if sqlstate else []), f"M{text}"]
    return message("E", b"".join(field.encode() + b"\0" for field in fields) + b"\0")


def ready_for_query(status: str) -> bytes:
    """status -- I: idle, T: in a transaction, E: in one that failed."""
    return message("Z", status.encode())
