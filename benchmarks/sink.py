"""`python -m benchmarks.sink --port 8082 --latency 0.1` takes every message of a bot, and says so that much later.

For measuring senders. `GET /count` says how many messages were taken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import urllib.request

from benchmarks.lean_http import Connection, ServerProcess, serve

_TAKEN = json.dumps(
    {"ok": True, "result": {"message_id": 1, "date": 1, "chat": {"id": 1, "type": "private"}, "text": "x"}}
).encode()


class _Connection(Connection):
    taken = 0
    latency_seconds = 0.0

    def request(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET"):
            self.respond(str(_Connection.taken).encode())
            return
        asyncio.get_running_loop().call_later(_Connection.latency_seconds, self._take)

    def _take(self) -> None:
        _Connection.taken += 1
        self.respond(_TAKEN)


class Sink(ServerProcess):
    """The process, inside a `with` block."""

    def __init__(self, port: int, *, latency_seconds: float) -> None:
        super().__init__("benchmarks.sink", port, "--latency", str(latency_seconds))

    def look(self) -> int:
        return self.count()

    def count(self) -> int:
        """Messages taken so far."""
        with urllib.request.urlopen(f"{self.url}/count", timeout=10) as answer:  # noqa: S310  our own sink
            return int(answer.read())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sink", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.1, help="seconds (default %(default)s)")
    options = parser.parse_args()
    _Connection.latency_seconds = options.latency
    asyncio.run(serve(_Connection, options.port))


if __name__ == "__main__":
    main()
