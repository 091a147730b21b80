"""What a page shows, sent to it as it changes: server-sent events, one a second, each with the parts that changed since
the one before. The first has all of them, so a page that connects again needs no memory of ours.

An event a second is its own heartbeat: no proxy sees silence. A reader who takes nothing is cut off by the server
(server.py), and at most one event waits for each.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ballast.texts import spoken

EVERY_SECONDS = 1.0
STREAM_SECONDS_MAX = 30.0
"""Then it ends and the page connects again: whoever signed out since, or may do less, is known by then."""

STREAMS_MAX = 100
STREAMS_MAX_PER_VIEWER = 4
"""A browser opens six connections to a host, for all its tabs."""

RETRY_MS = 10_000
"""Whoever is beyond these bounds gets all that is shown, once, and is told to come again after so long."""

_HEADERS = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",  # nginx would wait until it has a buffer full
}

Part = str
"""Of a report, as JSON."""


class Feed:
    """A report for all that watch it, made once a second for each language that they read, however many they are."""

    def __init__(self, report: Callable[[], dict[str, Any]]) -> None:
        self._report = report
        self._parts: dict[str, dict[str, Part]] = {}
        """By language."""
        self._made_in: int | None = None

    def parts(self) -> dict[str, Part]:
        """In the language that is spoken."""
        this_second = int(time.monotonic() / EVERY_SECONDS)
        if this_second != self._made_in:
            self._parts.clear()
            self._made_in = this_second
        language = spoken()
        if language not in self._parts:
            self._parts[language] = parts_of(self._report())
        return self._parts[language]


def parts_of(report: dict[str, Any]) -> dict[str, Part]:
    return {name: json.dumps(part, separators=(",", ":")) for name, part in report.items()}


class Streams:
    """All that are open in this frontend."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Each ends as a whole answer does, and none begins."""
        self._ending.set()

    def response(self, viewer: str, feed: Feed, own: dict[str, Any]) -> Response:
        """viewer -- whose share of the streams it is. own -- what this viewer alone is told."""
        return _Stream(self, viewer, feed, parts_of(own))

    async def run(
        self, viewer: str, send: Callable[[bytes], Any], parts: Callable[[], dict[str, Part]]
    ) -> None:
        """Send events until the stream is over."""
        if self._open.total() >= STREAMS_MAX or self._open[viewer] >= STREAMS_MAX_PER_VIEWER:
            await send(b"retry: %d\n%s" % (RETRY_MS, _event(parts())))
            return
        self._open[viewer] += 1
        try:
            await self._run(send, parts)
        finally:
            self._open[viewer] -= 1
            self._open += Counter()  # forgets those who have none

    async def _run(self, send: Callable[[bytes], Any], parts: Callable[[], dict[str, Part]]) -> None:
        known: dict[str, Part] = {}
        ends_at = time.monotonic() + STREAM_SECONDS_MAX
        while not self._ending.is_set() and time.monotonic() < ends_at:
            now = parts()
            await send(_event({name: part for name, part in now.items() if known.get(name) != part}))
            known = now
            try:
                await asyncio.wait_for(self._ending.wait(), EVERY_SECONDS)
            except TimeoutError:
                continue


def _event(parts: dict[str, Part]) -> bytes:
    """JSON has no line break of its own, so it is one line of data."""
    told = ",".join(f'"{name}":{part}' for name, part in parts.items())
    return f"data: {{{told}}}\n\n".encode()


class _Stream(Response):
    media_type = "text/event-stream"

    def __init__(self, streams: Streams, viewer: str, feed: Feed, own: dict[str, Part]) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(_HEADERS)
        self._streams = streams
        self._viewer = viewer
        self._parts = lambda: {**feed.parts(), **own}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

        async def send_more(body: bytes) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": True})

        streaming = asyncio.ensure_future(self._streams.run(self._viewer, send_more, self._parts))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((streaming, leaving), return_when=asyncio.FIRST_COMPLETED)
            if streaming.done():
                streaming.result()
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            for task in (streaming, leaving):
                task.cancel()
            await asyncio.gather(streaming, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
