"""One connection through the proxy: two streams of messages, each held against the rules before it passes."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from typing import NoReturn

from devstack.proxy import wire
from devstack.proxy.rules import Answer, Cut, Delay, Fault, Silence
from devstack.proxy.wire import Message, Side, Wire

_DISCARDED_BYTES = 65536
_RST_ON_CLOSE = struct.pack("ii", 1, 0)
# A client's messages that belong to one question and are answered together, up to the Sync.
_ENDS_QUESTION = frozenset({"Q", "S", "F"})


class _Over(Exception):
    """The connection has ended, by a fault or by itself."""


class Session:
    """From a client's connect to the end of both connections."""

    def __init__(
        self,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        target: tuple[str, int],
        wire: Wire,
        judge: Callable[[Message], Fault | None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._number = number
        self._from_client = reader
        self._to_client = writer
        self._target = target
        self._wire = wire
        self._judge = judge
        self._tls = tls
        self._abrupt = False
        self._to_server: asyncio.StreamWriter | None = None
        self._positions = {Side.CLIENT: 0, Side.SERVER: 0}
        self._statement = ""
        self._transaction = "I"  # as the server's last ReadyForQuery had it
        self._swallowing = False  # the rest of a question that was answered in the server's place
        self._replacing: Answer | None = None  # instead of the answer that the server is about to give
        self._silent = asyncio.Event()
        self._over = asyncio.Event()
        self._reset = False

    def end(self, *, reset: bool = False) -> None:
        """End it from outside."""
        self._reset = self._reset or reset
        self._over.set()

    async def run(self) -> None:
        """Return when both connections have ended."""
        ending = asyncio.create_task(self._over.wait())
        tasks = {ending, asyncio.create_task(self._client())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._close()

    async def _client(self) -> None:
        """All that the client sends; the server's side runs beside it once there is a server."""
        answers: asyncio.Task[None] | None = None
        try:
            if self._wire is Wire.POSTGRES:
                await self._greet()
                stream = wire.typed_messages(self._from_client)
            else:
                stream = wire.pieces(self._from_client)
                await self._connect()
            answers = asyncio.create_task(self._server())
            asking = asyncio.create_task(self._questions(stream))
            await asyncio.wait({answers, asking}, return_when=asyncio.FIRST_COMPLETED)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        except (_Over, OSError):
            pass
        finally:
            if answers is not None:
                answers.cancel()
                await asyncio.gather(answers, return_exceptions=True)

    async def _greet(self) -> None:
        """Up to the startup message. Questions for encryption are answered here, without asking the server."""
        async for kind, data in wire.first_messages(self._from_client):
            fault = await self._passing(Side.CLIENT, kind, data)
            if isinstance(fault, Answer):
                await self._write(self._to_client, fault.encoded)
                self._finish()
            if kind == wire.SSL_QUESTION and self._tls is not None:
                await self._write(self._to_client, b"S")
                await self._to_client.start_tls(self._tls)
                continue
            if kind in {wire.SSL_QUESTION, wire.GSS_QUESTION}:
                await self._write(self._to_client, b"N")
                continue
            await self._write(await self._connect(), data)
            if kind == wire.STARTUP:
                return
        self._finish()

    async def _questions(self, stream: AsyncIterator[tuple[str, bytes]]) -> None:
        try:
            async for kind, data in stream:
                sent = (
                    wire.statement_of(kind, data) if self._wire is Wire.POSTGRES else data.decode("latin-1")
                )
                if sent is not None:
                    self._statement = sent
                elif kind == wire.TERMINATE:
                    self._statement = ""  # the goodbye of a pooled connection belongs to no statement
                fault = await self._passing(Side.CLIENT, kind, data)
                if isinstance(fault, Answer):
                    if fault.server_does_it:
                        self._replacing = fault
                    else:
                        await self._answer(fault, asking=kind)
                        continue
                if self._swallowing:
                    if kind in _ENDS_QUESTION:
                        self._swallowing = False
                        await self._write(self._to_client, wire.ready_for_query(self._failed_transaction()))
                    continue
                await self._write(await self._connect(), data)
        except (_Over, OSError):
            pass

    async def _server(self) -> None:
        reader = self._from_server
        stream = wire.pieces(reader) if self._wire is Wire.BYTES else wire.typed_messages(reader)
        try:
            async for kind, data in stream:
                if kind == "Z":
                    self._transaction = chr(data[5])
                await self._passing(Side.SERVER, kind, data)
                replacing = self._replacing
                if replacing is None:
                    await self._write(self._to_client, data)
                elif kind == "Z" or self._wire is Wire.BYTES:
                    self._replacing = None
                    await self._write(self._to_client, replacing.encoded)
                    if replacing.ends_connection:
                        self._finish()
                    if kind == "Z":
                        await self._write(self._to_client, data)
        except (_Over, OSError):
            pass

    async def _answer(self, fault: Answer, *, asking: str) -> None:
        """Answer a question that the server does not get to see."""
        await self._write(self._to_client, fault.encoded)
        if fault.ends_connection:
            self._finish()
        if self._wire is Wire.POSTGRES:
            if asking in _ENDS_QUESTION:
                await self._write(self._to_client, wire.ready_for_query(self._failed_transaction()))
            else:
                self._swallowing = True

    def _failed_transaction(self) -> str:
        return "I" if self._transaction == "I" else "E"

    async def _passing(self, side: Side, kind: str, data: bytes) -> Fault | None:
        """Let what happens to this message happen. Returns an Answer, which the caller has to give."""
        self._positions[side] += 1
        message = Message(side, kind, data, self._number, self._positions[side], self._statement)
        fault = self._judge(message)
        if self._silent.is_set():
            await self._keep_silent(side)
        if isinstance(fault, Cut):
            self._silent.set()  # an answer that comes while we are at it must not slip through
            passing = data[: fault.bytes_of(len(data))]
            if passing:
                to_client = side is Side.SERVER
                await self._write(self._to_client if to_client else await self._connect(), passing)
            self._reset, self._abrupt = fault.reset, True
            self._finish()
        if isinstance(fault, Silence):
            self._silent.set()
            await self._keep_silent(side)
        if isinstance(fault, Delay):
            await asyncio.sleep(fault.seconds)
        return fault

    async def _keep_silent(self, side: Side) -> NoReturn:
        """Nothing passes any more. The client's end is still noticed, or connections would pile up."""
        if side is Side.CLIENT:
            while await self._from_client.read(_DISCARDED_BYTES):
                pass
        else:
            await self._over.wait()
        self._finish()

    async def _connect(self) -> asyncio.StreamWriter:
        """The connection to the server; made when it is first needed, because a fault may come before it is."""
        if self._to_server is None:
            self._from_server, self._to_server = await asyncio.open_connection(*self._target)
        return self._to_server

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    def _finish(self) -> NoReturn:
        raise _Over

    def _close(self) -> None:
        for writer in (self._to_client, self._to_server):
            if writer is None:
                continue
            if self._reset:
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
            if self._reset or (self._abrupt and writer.get_extra_info("ssl_object") is not None):
                writer.transport.abort()  # who is cut off says no goodbye, and TLS would
            else:
                writer.close()
