"""A request's body, up to a bound."""

from __future__ import annotations

from starlette.requests import Request


async def read_body(request: Request, bytes_max: int) -> bytes | None:
    """None where it is longer; the rest is not read then."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            return None
    return bytes(body)
