"""python-telegram-bot's transport over aiohttp. It knows what the default one forgets: whether a request that failed
can have reached Telegram.

    telegram.error.NetworkError
    ├── NeverSent     no connection was had: certainly not delivered
    ├── TimedOut      connected and written, and no answer in time: may be delivered
    └── NetworkError  the connection broke: may be delivered
"""

from __future__ import annotations

from typing import Any

import aiohttp
from telegram.error import NetworkError, TimedOut
from telegram.request import BaseRequest, RequestData

from workers.totals import Tally

KEEPALIVE_SECONDS = 30.0


class NeverSent(NetworkError):
    """No connection to Telegram was had. What was to be sent is not there."""


class AiohttpRequest(BaseRequest):
    """Belongs to the event loop of its first request.

    connections -- at most so many at once; more requests wait `connect_seconds` for one.
    connect_seconds -- for a free connection, name look-up, TCP and TLS together.
    read_seconds -- for each read of the answer.
    write_seconds -- for sending the request, on top of the others.
    proxy -- its URL; unset, HTTPS_PROXY and HTTP_PROXY are heeded.
    tally -- counts each request as `telegram|<method>|<HTTP status, or how it failed>`.
    """

    def __init__(
        self,
        *,
        connections: int,
        connect_seconds: float = 3.0,
        read_seconds: float = 10.0,
        write_seconds: float = 10.0,
        proxy: str | None = None,
        tally: Tally | None = None,
    ) -> None:
        self._connections = connections
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._write_seconds = write_seconds
        self._proxy = proxy
        self._tally = tally
        self._session: aiohttp.ClientSession | None = None

    @property
    def read_timeout(self) -> float:
        return self._read_seconds

    async def initialize(self) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEPALIVE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self.USER_AGENT},
                trust_env=True,
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
        """Status and body. A time-out of None waits for ever, one that is not given is this transport's own."""
        await self.initialize()
        assert self._session is not None  # noqa: S101  initialized right above
        connect = _given(connect_timeout, self._connect_seconds)
        read = _given(read_timeout, self._read_seconds)
        write = _given(write_timeout, self._write_seconds)
        timeout = aiohttp.ClientTimeout(
            total=None if None in (connect, read, write) else connect + read + write,
            connect=connect,
            sock_connect=connect,
            sock_read=read,
        )
        # Their words are left out of ours: some name the URL, and Telegram's URLs contain the bot's token.
        try:
            async with self._session.request(
                method, url, data=_body(request_data), timeout=timeout, proxy=self._proxy
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self._count(url, "never_sent")
            raise NeverSent(type(error).__name__) from error
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            self._count(url, "timeout")
            raise TimedOut(f"no answer within {read} s") from error
        except aiohttp.ClientError as error:
            self._count(url, "broken")
            raise NetworkError(type(error).__name__) from error
        self._count(url, str(answer.status))
        return answer.status, body

    def _count(self, url: str, outcome: str) -> None:
        if self._tally is not None:
            self._tally.count("telegram", url.rpartition("/")[2], outcome)


def _given(timeout: Any, own: float) -> Any:
    return own if timeout is BaseRequest.DEFAULT_NONE else timeout


def _body(request_data: RequestData | None) -> aiohttp.FormData | dict[str, str] | None:
    if request_data is None:
        return None
    files = request_data.multipart_data
    if not files:
        return request_data.json_parameters
    form = aiohttp.FormData(quote_fields=False)
    for name, value in request_data.json_parameters.items():
        form.add_field(name, value)
    for name, (file_name, content, mime_type) in files.items():
        form.add_field(name, content, filename=file_name, content_type=mime_type)
    return form
