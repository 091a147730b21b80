"""The frontend's web server: the status page, the endpoints, and Telegram's webhook where it is used."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ballast.operators import books_rows
from ballast.operators.csv_text import csv_text
from ballast.reconciling import provider_record
from ballast.reconciling import record as reconciliation_record
from bot_frontend.web import outage_report, public_status, reports, status
from bot_frontend.web.access import Guard, SafeHeaders, Sessions
from bot_frontend.web.actions import Actions
from bot_frontend.web.app_webhooks import AppWebhooks
from bot_frontend.web.jobs import Jobs
from bot_frontend.web.lazy_api import LazyApi
from bot_frontend.web.live import Feed, Streams
from bot_frontend.web.metrics import CONTENT_TYPE, exposition
from bot_frontend.web.monitor import Monitor
from bot_frontend.web.page import Page
from bot_frontend.web.page_language import PageLanguage
from bot_frontend.web.snapshot import StatusSnapshot
from bot_frontend.web.webhook import Webhook
from dbcore.settings import Settings

Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(
    settings: Settings,
    monitor: Monitor,
    webhook: Webhook | None,
    actions: Actions,
    jobs: Jobs,
    app_webhooks: AppWebhooks,
    api: LazyApi,
) -> Starlette:
    """webhook -- None where updates are polled for."""
    access = api.access
    page = Page(access, actions, settings)

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

    streams = Streams()

    def status_now() -> dict[str, Any]:
        monitor.watched()
        return status.status(monitor.latest, time.time())

    def outages_now() -> dict[str, Any]:
        monitor.watched()
        return outage_report.report(monitor.latest, time.time())

    def own_status(request: Request) -> dict[str, Any]:
        return {"actions": access.described(access.operator(request))}

    def status_of_now(request: Request) -> Response:
        return _told({**status_now(), **own_status(request)})

    def stream_of(
        report: Callable[[], dict[str, Any]], own: Callable[[Request], dict[str, Any]]
    ) -> Callable[[Request], Awaitable[Response]]:
        feed = Feed(report)

        async def endpoint(request: Request) -> Response:
            if not access.may_see(request):
                return _turned_away()
            return streams.response(access.viewer(request), feed, own(request))

        return endpoint

    async def index(request: Request) -> Response:
        by_browser = "text/html" in request.headers.get("Accept", "")
        if not access.may_see(request):
            return page.asks_to_sign_in() if by_browser else _turned_away()
        return page.index() if by_browser else status_of_now(request)

    async def status_json(request: Request) -> Response:
        return status_of_now(request) if access.may_see(request) else _turned_away()

    async def probes(request: Request) -> Response:
        return _told(status.probes(monitor.latest)) if access.may_see(request) else _turned_away()

    async def outages(request: Request) -> Response:
        by_browser = "text/html" in request.headers.get("Accept", "")
        if not access.may_see(request):
            return page.asks_to_sign_in() if by_browser else _turned_away()
        return page.outages() if by_browser else await outages_json(request)

    def for_browsers(shown: Callable[[], Response]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            if access.may_see(request):
                return shown()
            return page.asks_to_sign_in()

        return endpoint

    async def outages_json(request: Request) -> Response:
        if not access.may_see(request):
            return _turned_away()
        return _told(outages_now())

    async def outages_csv(request: Request) -> Response:
        if not access.may_see(request):
            return _turned_away()
        rows = outage_report.lines(monitor.latest, time.time())
        return _csv(outage_report.COLUMNS, rows, "outages.csv")

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

    def file_of(
        name: str, columns: Sequence[str], rows: Callable[[StatusSnapshot], Iterable[Mapping[str, Any]]]
    ) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            if not access.may_see(request):
                return _turned_away()
            monitor.asked()
            return _csv(columns, rows(monitor.latest), name)

        endpoint.__name__ = name.removesuffix(".csv").replace("-", "_")  # the OpenAPI document names it so
        return endpoint

    endpoints: dict[str, Endpoint] = {
        "/health/live": live,
        "/health/ready": ready,
        "/health": report_of(reports.health, open_to_all=True),
        "/db-status": report_of(reports.database_status, open_to_all=False),
        "/db-stability": report_of(reports.stability, open_to_all=False),
        "/metrics": metrics,
        "/status.json": status_json,
        "/status/probes.json": probes,
        "/outages.json": outages_json,
        "/books.csv": file_of("books.csv", books_rows.SHEET_COLUMNS, reports.balance_sheet),
        "/books-days.csv": file_of("books-days.csv", books_rows.DAYS_COLUMNS, reports.daily_totals),
        "/outages.csv": outages_csv,
        "/star-differences.csv": file_of(
            "star-differences.csv", reconciliation_record.COLUMNS, reports.star_differences
        ),
        "/provider-differences.csv": file_of(
            "provider-differences.csv", provider_record.COLUMNS, reports.provider_differences
        ),
        "/jobs/{reference}": job,
    }
    if settings.public_status:
        service = public_status.PublicStatus()

        async def status_page(_: Request) -> Response:
            return service.page(monitor.latest, time.time())

        endpoints[public_status.PATH] = status_page

    @cache
    def document() -> dict[str, Any]:
        from bot_frontend.web import openapi  # with the API's modules, for who asks

        return openapi.document(endpoints | {"/actions": page.act}, api.made().app.routes)

    async def openapi_json(_: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(document))

    routes: list[BaseRoute] = [
        *(Route(path, endpoint) for path, endpoint in endpoints.items()),
        Route("/actions", page.act, methods=["POST"]),
        Route("/", index),
        Route("/outages", outages),
        Route("/failed-jobs", for_browsers(page.failed_jobs)),
        Route("/broadcasts", for_browsers(page.broadcasts)),
        Route("/broadcasts/new", for_browsers(page.compose)),
        Route("/status/stream", stream_of(status_now, own_status), methods=["GET"]),
        Route("/outages/stream", stream_of(outages_now, lambda _: {}), methods=["GET"]),
        Route("/openapi.json", openapi_json),
        api,
        *page.routes(),
        *app_webhooks.routes(),
    ]
    if webhook is not None and settings.telegram_webhook_url is not None:
        path = urlsplit(settings.telegram_webhook_url).path or "/"
        routes.append(Route(path, webhook.receive, methods=["POST"]))
    middleware = [Middleware(SafeHeaders), Middleware(Guard, access, settings.trusted_proxies)]
    if secret := access.session_secret:
        middleware.append(Middleware(Sessions, access, secret))
    middleware.append(Middleware(PageLanguage, access))
    app = Starlette(routes=routes, middleware=middleware)
    app.router.redirect_slashes = False  # it would redirect to whatever name was asked for
    app.state.streams = streams
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
