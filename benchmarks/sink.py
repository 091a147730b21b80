"""`python -m benchmarks.sink --port 8082 --latency 0.1` takes every message of a bot, and says so that much later.

For measuring senders: it parses of HTTP only what finds the end of a request, for a real server would be what is
measured. `GET /count` says how many messages were taken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import TracebackType
from typing import Self, cast

_TAKEN = json.dumps(
    {"ok": True, "result": {"message_id": 1, "date": 1, "chat": {"id": 1, "type": "private"}, "text": "x"}}
).encode()
READY_SECONDS_MAX = 20.0


def _answer(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """One request after the other, as HTTP clients here send them."""

    taken = 0
    latency_seconds = 0.0

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
        if head.startswith(b"GET"):
            self._transport.write(_answer(str(_Connection.taken).encode()))
            return
        asyncio.get_running_loop().call_later(_Connection.latency_seconds, self._take)

    def _take(self) -> None:
        _Connection.taken += 1
        if not self._transport.is_closing():
            self._transport.write(_answer(_TAKEN))


class Sink:
    """The process, inside a `with` block."""

    def __init__(self, port: int, *, latency_seconds: float) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._argv = [sys.executable, "-m", "benchmarks.sink", "--port", str(port)]
        self._argv += ["--latency", str(latency_seconds)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._argv)
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                self.count()
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
            else:
                return self
        self._process.kill()
        raise TimeoutError("the sink does not answer")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def count(self) -> int:
        """Messages taken so far."""
        with urllib.request.urlopen(f"{self.url}/count", timeout=10) as answer:  # noqa: S310  our own sink
            return int(answer.read())


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sink", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.1, help="seconds (default %(default)s)")
    options = parser.parse_args()
    _Connection.latency_seconds = options.latency
    asyncio.run(_serve(options.port))


if __name__ == "__main__":
    main()
