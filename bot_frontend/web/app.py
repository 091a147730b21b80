"""The frontend's web server: the health endpoints, and Telegram's webhook where it is used."""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot_frontend.web import reports
from bot_frontend.web.metrics import CONTENT_TYPE, exposition
from bot_frontend.web.monitor import Look, Monitor
from bot_frontend.web.openapi import DOCUMENT
from bot_frontend.web.webhook import Webhook
from dbcore.settings import Settings


def make_app(settings: Settings, monitor: Monitor, webhook: Webhook | None) -> Starlette:
    """webhook -- None where updates are polled for."""

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        can_take_jobs = monitor.latest.takes_jobs(time.time())
        return JSONResponse(
            {"status": "ok" if can_take_jobs else "down"}, status_code=200 if can_take_jobs else 503
        )

    async def metrics(request: Request) -> Response:
        if not _may_see_details(request, settings):
            return _turned_away()
        body = exposition(monitor.latest, time.time())
        return Response(body, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})

    def page(report: Callable[[Look, float], dict[str, Any]], *, open_to_all: bool) -> Callable[..., Any]:
        async def endpoint(request: Request) -> Response:
            if not open_to_all and not _may_see_details(request, settings):
                return _turned_away()
            return JSONResponse(report(monitor.latest, time.time()), headers={"Cache-Control": "no-store"})

        return endpoint

    async def openapi(_: Request) -> Response:
        return JSONResponse(DOCUMENT)

    routes = [
        Route("/openapi.json", openapi),
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/health", page(reports.health, open_to_all=True)),
        Route("/db-status", page(reports.database_status, open_to_all=False)),
        Route("/metrics", metrics),
        Route("/db-stability", page(reports.stability, open_to_all=False)),
    ]
    if webhook is not None and settings.telegram_webhook_url is not None:
        path = urlsplit(settings.telegram_webhook_url).path or "/"
        routes.append(Route(path, webhook.receive, methods=["POST"]))
    return Starlette(routes=routes)


def _turned_away() -> Response:
    return JSONResponse(
        {"error": "expected the header Authorization: Bearer <OPS_TOKEN>"},
        status_code=401,
        headers={"WWW-Authenticate": "Bearer"},
    )


def _may_see_details(request: Request, settings: Settings) -> bool:
    """By OPS_TOKEN; without one, from the loopback address alone."""
    if settings.ops_token is not None:
        expected = f"Bearer {settings.ops_token.get_secret_value()}"
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), expected.encode())
    if request.client is None:
        return False
    # Behind a proxy on this host all the world comes from here; most say in a header for whom they ask.
    if any(name == "forwarded" or name.startswith("x-forwarded-") for name in request.headers):
        return False
    # The others, and a page elsewhere whose name was made to lead here, give themselves away by the name they ask for.
    return _is_loopback(request.client.host) and _names_loopback(request.headers.get("Host", ""))


def _names_loopback(authority: str) -> bool:
    try:
        host = urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return False
    return host == "localhost" or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
