"""Who may be asked for: a page of another site that had its name lead to this machine is no part of it.

The control API acts as anybody, the admin included. A browser sends it whatever a page orders, as long as that page
came from the same name; that name stands in `Host`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def only_for(names: Collection[str]) -> Middleware:
    """A middleware. names -- besides the loopback ones."""

    @web.middleware
    async def refuse_other_hosts(request: web.Request, handler: Answer) -> web.StreamResponse:
        host = _name_in(request.headers.get("Host", ""))
        if host in names or _is_loopback(host):
            return await handler(request)
        return web.json_response({"error": "Host: expected localhost or 127.0.0.1"}, status=421)

    return refuse_other_hosts


def _name_in(authority: str) -> str:
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
