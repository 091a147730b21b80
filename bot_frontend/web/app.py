"""The frontend's web server: the status page, the endpoints, and Telegram's webhook where it is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ballast.csv_text import csv_text
from ballast.reconciling import record as reconciliation_record
from bot_frontend.web import reports, status
from bot_frontend.web.access import Access, Guard, SafeHeaders, Sessions
from bot_frontend.web.actions import Actions
from bot_frontend.web.app_webhooks import AppWebhooks
from bot_frontend.web.jobs import Jobs
from bot_frontend.web.metrics import CONTENT_TYPE, exposition
from bot_frontend.web.monitor import Monitor
from bot_frontend.web.openapi import DOCUMENT
from bot_frontend.web.page import Page
from bot_frontend.web.snapshot import StatusSnapshot
from bot_frontend.web.webhook import Webhook
from dbcore.settings import Settings


def make_app(
    settings: Settings,
    monitor: Monitor,
    webhook: Webhook | None,
    actions: Actions,
    jobs: Jobs,
    app_webhooks: AppWebhooks,
) -> Starlette:
    """webhook -- None where updates are polled for."""
    access = Access(settings)
    page = Page(access, actions)

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        look, now = monitor.latest, time.time()
        if look.takes_jobs(now):
            return JSONResponse({"status": "ok", "reason": None})
        return JSONResponse({"status": "down", "reason": reports.why_not_ready(look, now)}, status_code=503)

    async def metrics(request: Request) -> Response:
        if not access.may_see(request):
            return _turned_away()
        monitor.asked()
        body = exposition(monitor.latest, time.time())
        return Response(body, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})

    def status_of_now(request: Request) -> Response:
        monitor.watched()
        may_act = access.described(access.operator(request))
        return _told(status.status(monitor.latest, time.time(), may_act))

    async def index(request: Request) -> Response:
        by_browser = "text/html" in request.headers.get("Accept", "")
        if not access.may_see(request):
            return page.asks_to_sign_in() if by_browser else _turned_away()
        return page.index() if by_browser else status_of_now(request)

    async def status_json(request: Request) -> Response:
        return status_of_now(request) if access.may_see(request) else _turned_away()

    async def probes(request: Request) -> Response:
        return _told(status.probes(monitor.latest)) if access.may_see(request) else _turned_away()

    async def job(request: Request) -> Response:
        if not access.may_see(request):
            return _turned_away()
        return await jobs.find(request, monitor.latest)

    def report_of(
        report: Callable[[StatusSnapshot, float], dict[str, Any]], *, open_to_all: bool
    ) -> Callable[..., Any]:
        async def endpoint(request: Request) -> Response:
            if not open_to_all and not access.may_see(request):
                return _turned_away()
            monitor.asked()
            return _told(report(monitor.latest, time.time()))

        return endpoint

    async def star_differences(request: Request) -> Response:
        if not access.may_see(request):
            return _turned_away()
        monitor.asked()
        found = monitor.latest.reconciliation.finished
        rows = () if found is None else found.differences
        return _csv(reconciliation_record.COLUMNS, rows, "star-differences.csv")

    async def books(request: Request) -> Response:
        if not access.may_see(request):
            return _turned_away()
        monitor.asked()
        return _csv(reports.BOOKS_COLUMNS, reports.balance_sheet(monitor.latest), "books.csv")

    async def openapi(_: Request) -> Response:
        return JSONResponse(DOCUMENT)

    routes = [
        Route("/", index),
        Route("/status.json", status_json),
        Route("/status/probes.json", probes),
        Route("/books.csv", books),
        Route("/star-differences.csv", star_differences),
        Route("/jobs/{reference}", job),
        *page.routes(),
        Route("/openapi.json", openapi),
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/health", report_of(reports.health, open_to_all=True)),
        Route("/db-status", report_of(reports.database_status, open_to_all=False)),
        Route("/metrics", metrics),
        Route("/db-stability", report_of(reports.stability, open_to_all=False)),
    ]
    routes += app_webhooks.routes()
    if webhook is not None and settings.telegram_webhook_url is not None:
        path = urlsplit(settings.telegram_webhook_url).path or "/"
        routes.append(Route(path, webhook.receive, methods=["POST"]))
    secret = access.session_secret
    middleware = [Middleware(SafeHeaders), Middleware(Guard, access, settings.trusted_proxies)]
    if secret:
        middleware.append(Middleware(Sessions, secret))
    app = Starlette(routes=routes, middleware=middleware)
    app.router.redirect_slashes = False  # it would redirect to whatever name was asked for
    return app


def _told(report: dict[str, Any]) -> Response:
    return JSONResponse(report, headers={"Cache-Control": "no-store"})


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], name: str) -> Response:
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(csv_text(columns, rows), media_type="text/csv", headers=headers)


def _turned_away() -> Response:
    return JSONResponse(
        {"error": "expected the header Authorization: Bearer <OPS_TOKEN>"},
        status_code=401,
        headers={"WWW-Authenticate": "Bearer"},
    )
