"""python-telegram-bot's transport over aiohttp. It knows what the default one forgets: whether a request that failed
can have reached Telegram.

    telegram.error.TelegramError
    ├── RetryAfter    429, also one that does not say for how long
    └── NetworkError
        ├── NeverSent     no connection was had: certainly not delivered
        ├── TimedOut      connected, and no answer in time: may be delivered
        └── NetworkError  the connection broke: may be delivered
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import quote_plus
from urllib.request import getproxies

import aiohttp
from telegram.error import NetworkError, RetryAfter, TelegramError, TimedOut
from telegram.request import BaseRequest, RequestData

from ballast.status.counters import LocalCounters

KEEPALIVE_SECONDS = 30.0

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}

QUOTED_KEPT_MAX = 32
"""Characters of a value that is worth keeping: an option, and no text."""

FLOOD_SECONDS = 5
"""What a 429 that names no time is taken to mean. A proxy's own may have no body at all."""


class NeverSent(NetworkError):
    """No connection to Telegram was had. What was to be sent is not there."""


class AiohttpRequest(BaseRequest):
    """Belongs to the event loop of its first request.

    connections -- at most so many at once.
    pool_seconds -- for one of them to become free, on top of `connect_seconds`.
    connect_seconds -- for name look-up, TCP, the proxy and TLS together.
    read_seconds -- for each read of the answer.
    write_seconds -- for sending the request. aiohttp has no clock for this alone: a request that cannot be written ends
        with the sum of all four.
    proxy -- its URL, `http://user:password@host:port`; unset, HTTPS_PROXY and HTTP_PROXY are heeded.
    tls -- whom to believe; unset, the system's authorities.
    counters -- counts each request as `telegram|<method>|<HTTP status, or how it failed>`.
    """

    def __init__(
        self,
        *,
        connections: int,
        pool_seconds: float = 3.0,
        connect_seconds: float = 3.0,
        read_seconds: float = 10.0,
        write_seconds: float = 10.0,
        proxy: str | None = None,
        tls: ssl.SSLContext | None = None,
        counters: LocalCounters | None = None,
    ) -> None:
        self._connections = connections
        self._pool_seconds = pool_seconds
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._write_seconds = write_seconds
        self._proxy = proxy
        self._tls = tls
        self._tally = counters
        self._session: aiohttp.ClientSession | None = None

    @property
    def read_timeout(self) -> float:
        return self._read_seconds

    async def initialize(self) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(
                    limit=self._connections,
                    keepalive_timeout=KEEPALIVE_SECONDS,
                    ssl=True if self._tls is None else self._tls,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self.USER_AGENT},
                # For each request aiohttp would look for ~/.netrc and for a proxy, each in a thread.
                trust_env=self._proxy is None and bool(getproxies()),
            )

    async def shutdown(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: Any = BaseRequest.DEFAULT_NONE,
        write_timeout: Any = BaseRequest.DEFAULT_NONE,
        connect_timeout: Any = BaseRequest.DEFAULT_NONE,
        pool_timeout: Any = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        """Status and body. A time-out of None waits forever, one that is not given is this transport's own."""
        await self.initialize()
        assert self._session is not None  # noqa: S101  initialized right above
        timeout = _timeout(
            _given(pool_timeout, self._pool_seconds),
            _given(connect_timeout, self._connect_seconds),
            _given(write_timeout, self._write_seconds),
            _given(read_timeout, self._read_seconds),
        )
        attempt = _Attempt()
        _ATTEMPT.set(attempt)
        try:
            async with self._session.request(
                method,
                url,
                **_body(request_data),
                timeout=timeout,
                proxy=self._proxy,
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            outcome, telling = _told(error, was_had=attempt.has_connection)
            self._count(url, outcome)
            raise telling from error
        self._count(url, str(answer.status))
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise RetryAfter(_flood_seconds(body))
        return answer.status, body

    def _count(self, url: str, outcome: str) -> None:
        if self._tally is not None:
            self._tally.count("telegram", url.rpartition("/")[2], outcome)


@dataclass
class _Attempt:
    """A request under way."""

    has_connection: bool = False


_ATTEMPT: ContextVar[_Attempt] = ContextVar("attempt")
"""That of the task."""


class _Connector(aiohttp.TCPConnector):
    """Notes when a request has its connection: past the proxy and TLS, before the first byte of it is written.
    aiohttp's tracing would tell as much, for a quarter more time for each request.
    """

    async def connect(self, *args: Any, **options: Any) -> aiohttp.connector.Connection:
        connection = await super().connect(*args, **options)
        _ATTEMPT.get().has_connection = True
        return connection


@cache
def _timeout(
    pool: float | None, connect: float | None, write: float | None, read: float | None
) -> aiohttp.ClientTimeout:
    """Seconds for each; None is forever."""
    until_had = _sum(pool, connect)
    return aiohttp.ClientTimeout(
        total=_sum(until_had, write, read), connect=until_had, sock_connect=connect, sock_read=read
    )


def _told(error: Exception, *, was_had: bool) -> tuple[str, TelegramError]:
    """How a failure is counted, and what is raised for it.

    Its words are left out of ours: some name the URL, and Telegram's URLs contain the bot's token.
    """
    if not was_had:
        return "never_sent", NeverSent(type(error).__name__)
    if isinstance(error, TimeoutError):
        return "timeout", TimedOut("no answer in time")
    return "broken", NetworkError(type(error).__name__)


def _flood_seconds(body: bytes) -> int:
    """How long Telegram has us wait. A bot that is banned from sending for hours is told so, and waits for hours."""
    try:
        seconds = json.loads(body)["parameters"]["retry_after"]
    except (ValueError, KeyError, TypeError):
        return FLOOD_SECONDS
    return seconds if isinstance(seconds, int) and seconds > 0 else FLOOD_SECONDS


def _sum(*seconds: float | None) -> float | None:
    """None, which is forever, where one of them is."""
    known = [each for each in seconds if each is not None]
    return sum(known) if len(known) == len(seconds) else None


def _given(timeout: Any, own: float) -> Any:
    return own if timeout is BaseRequest.DEFAULT_NONE else timeout


def _body(request_data: RequestData | None) -> dict[str, Any]:
    if request_data is None:
        return {}
    files = request_data.multipart_data
    if (
        not files
    ):  # aiohttp takes a form for one with files, until it knows better, and draws a boundary for it
        return {"data": _urlencoded(request_data.json_parameters), "headers": _FORM}
    form = aiohttp.FormData(quote_fields=False)
    for name, value in request_data.json_parameters.items():
        form.add_field(name, value)
    for name, (file_name, content, mime_type) in files.items():
        form.add_field(name, content, filename=file_name, content_type=mime_type)
    return {"data": form}


def _urlencoded(parameters: Mapping[str, str]) -> bytes:
    """Parameters of the Bot API, whose names need no quotation."""
    return "&".join(
        f"{name}={_quoted(value) if len(value) <= QUOTED_KEPT_MAX else quote_plus(value)}"
        for name, value in parameters.items()
    ).encode()


_quoted = lru_cache(256)(quote_plus)
"""Options of a message are the same again and again."""
