"""uvicorn, bounded: connections that say nothing, end no request or take no answer are closed, and there are never too
many.

uvicorn waits for the first request, for the rest of one, and until an answer is taken, for as long as the other side
likes.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections.abc import Callable
from typing import Any

import h11
import structlog
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

log = structlog.get_logger(__name__)

HEADERS_SECONDS_MAX = 10.0
BODY_SECONDS_MAX = 30.0
WRITING_SECONDS_MAX = 30.0
"""A reader who has not taken what waits for it by then is gone, or too slow."""

CONNECTIONS_MAX = 1_000
DESCRIPTORS_FOR_OTHERS = 256
"""Redis, Telegram, PostgreSQL's none, files."""

SHUTDOWN_SECONDS_MAX = 5
BACKLOG = 128
"""asyncio tries to accept as many at once, and logs each try that fails."""

ACCEPT_ERROR_EVERY_SECONDS = 10.0


class Protocol(H11Protocol):
    """One connection."""

    _waits_for: str | None = None
    _timer: asyncio.TimerHandle | None = None
    _writing_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > connections_max():
            self._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_for(None)
        self._can_write()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """More waits to be taken than asyncio keeps."""
        self._writing_timer = self.loop.call_later(WRITING_SECONDS_MAX, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._can_write()
        super().resume_writing()

    def _can_write(self) -> None:
        if self._writing_timer is not None:
            self._writing_timer.cancel()
            self._writing_timer = None

    def _watch(self) -> None:
        state = self.conn.their_state
        self._wait_for({h11.IDLE: "headers", h11.SEND_BODY: "body"}.get(state))

    def _wait_for(self, what: str | None) -> None:
        if what == self._waits_for:
            return  # the time runs from when it began to be waited for, not from the last byte
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waits_for = what
        if what is not None:
            seconds = HEADERS_SECONDS_MAX if what == "headers" else BODY_SECONDS_MAX
            self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _make_room(self) -> None:
        """Whoever asks says so at once: one of those who have not yet, or this one, goes."""
        silent = next((one for one in self.connections if _is_silent(one) and one is not self), self)
        silent.transport.abort()


def _is_silent(connection: Any) -> bool:
    return isinstance(connection, Protocol) and connection._waits_for == "headers"


def connections_max() -> int:
    """By what this process may open."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(16, min(CONNECTIONS_MAX, descriptors - DESCRIPTORS_FOR_OTHERS))


class Server(uvicorn.Server):
    """before_shutdown -- called before uvicorn waits for answers that are under way."""

    def __init__(self, config: uvicorn.Config, before_shutdown: Callable[[], None]) -> None:
        super().__init__(config)
        self._before_shutdown = before_shutdown

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._before_shutdown()
        await super().shutdown(sockets)


def make_server(app: Starlette, host: str, port: int) -> uvicorn.Server:
    """Of what make_app made."""
    return Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=Protocol,
            log_config=None,
            access_log=False,
            proxy_headers=False,  # app.py has them read, for it needs to know who said so
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS_MAX,
        ),
        app.state.streams.end,
    )


class AcceptErrors:
    """asyncio's handler of what nobody awaits, with a bound for what it says a thousand times a second when no
    descriptor is left: such a log would push out all others.
    """

    def __init__(self) -> None:
        self._next_at = 0.0
        self._unsaid = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "accept" not in str(context.get("message", "")):
            loop.default_exception_handler(context)
            return
        if time.monotonic() < self._next_at:
            self._unsaid += 1
            return
        error = context.get("exception")
        log.error("connection_not_accepted", error=str(error), times_before=self._unsaid)
        self._next_at = time.monotonic() + ACCEPT_ERROR_EVERY_SECONDS
        self._unsaid = 0
