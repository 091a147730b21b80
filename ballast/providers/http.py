"""The HTTP client of adapters: JSON back, one connection pool, and what a failure means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from ballast.providers.provider import Refused, Unanswered

SECONDS_MAX = 10.0
ANSWER_BYTES_MAX = 8_000_000
SAID_LENGTH_MAX = 200

_OPEN = frozenset({408, 409, 425, 429})
"""Of a request that may be done there or not, and is to be asked again."""

_BAD = 400
_SERVER = 500


class Http:
    """Belongs to the event loop of its first request.

    headers -- of each request, such as the one with the key. A failure never tells them, nor the address.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url.rstrip("/")
        self._headers = dict(headers)
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The answer's JSON. data -- as a form. body -- as JSON.

        Raises Refused for a 4xx, and Unanswered if nobody can know, or for a 408, 409, 425 or 429.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=SECONDS_MAX),
                trust_env=True,
            )
        try:
            async with self._session.request(
                method,
                self._url + path,
                params=query,
                data=data,
                json=body,
                headers=headers,
                allow_redirects=False,
            ) as answer:
                status, said = answer.status, await _read(answer)
                retry_after = answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unanswered(type(error).__name__) from error
        if status in _OPEN or status >= _SERVER:
            seconds = float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else 0.0
            raise Unanswered(f"HTTP {status}", retry_after_seconds=min(seconds, 3600.0))
        if status >= _BAD:
            raise Refused(f"HTTP {status}: {said[:SAID_LENGTH_MAX].decode(errors='replace')}", status=status)
        try:
            return json.loads(said)
        except (ValueError, RecursionError) as error:  # the latter: brackets without end
            raise Unanswered(f"HTTP {status} without JSON") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """Raises Unanswered for what is too long: a part of it says nothing."""
    said = bytearray()
    async for chunk in answer.content.iter_any():
        said += chunk
        if len(said) > ANSWER_BYTES_MAX:
            raise Unanswered(f"HTTP {answer.status} with more than {ANSWER_BYTES_MAX:,} bytes")
    return bytes(said)
