"""As little of an HTTP server as a benchmark needs, in a process of its own. It parses only what finds the end of a
request: a real server would be what is measured.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import urllib.error
from types import TracebackType
from typing import Self, cast

READY_SECONDS_MAX = 20.0


def response(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection(asyncio.Protocol):
    """One request after the other, as HTTP clients here send them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        if b"100-continue" in head.lower() and not body:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        if len(body) < length:
            return
        self._received = body[length:]
        self.request(head, body[:length])

    def request(self, head: bytes, body: bytes) -> None:
        """A whole request has come; it is answered by `respond`, now or later."""
        raise NotImplementedError

    def respond(self, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(response(body))


async def serve(connection: type[Connection], port: int) -> None:
    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


class ServerProcess:
    """`python -m <module> --port <port>`, inside a `with` block."""

    def __init__(self, module: str, port: int, *options: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._argv = [sys.executable, "-m", module, "--port", str(port), *options]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._argv)
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                self.look()
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
            else:
                return self
        self._process.kill()
        raise TimeoutError(f"{self._argv[2]} does not answer")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def look(self) -> object:
        """Ask it for something. Raises OSError while it does not answer."""
        raise NotImplementedError
