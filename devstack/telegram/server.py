"""The server: Bot API, control API and chat page on one port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path

from aiohttp import web

from devstack.telegram.bot_api import BotApi
from devstack.telegram.control_api.routes import add_control_routes, refuse_plainly
from devstack.telegram.demo import add_demo_people
from devstack.telegram.hosts import only_for
from devstack.telegram.people import People
from devstack.telegram.telegram import Telegram

STATIC_DIR = Path(__file__).parent / "static"
# Telegram takes files of up to 50 MB from a bot; the rest is for the form around them.
REQUEST_BYTES_MAX = 52 * 1024 * 1024

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def build_app(telegram: Telegram, admin_ids: list[int], hosts: Collection[str] = ()) -> web.Application:
    """hosts -- names by which it may be asked for, besides the loopback ones."""
    people = People(telegram)
    bot_api = BotApi(telegram)

    def people_anew() -> None:
        add_demo_people(telegram, people, admin_ids)

    people_anew()
    telegram.store.commit()
    app = web.Application(client_max_size=REQUEST_BYTES_MAX, middlewares=[only_for(hosts), refuse_plainly])
    # Telegram's own token pattern is looser than digits:letters, and a wrong token must meet our 401.
    app.router.add_route("*", "/bot{token:[^/]+}/{method:[^/]+}", bot_api.answer)
    app.router.add_get("/file/bot{token:[^/]+}/{path:[^/]+}", bot_api.download)
    add_control_routes(app.router, telegram, people, bot_api, people_anew)
    app.router.add_get("/", _page)
    app.router.add_static("/static/", STATIC_DIR, append_version=False)
    app.on_response_prepare.append(_add_page_headers)
    app.on_shutdown.append(_close_streams(telegram))
    app.cleanup_ctx.append(_running(telegram, bot_api))
    return app


async def _page(request: web.Request) -> web.StreamResponse:
    return web.FileResponse(STATIC_DIR / "index.html")


async def _add_page_headers(request: web.Request, response: web.StreamResponse) -> None:
    if request.path == "/" or request.path.startswith("/static/"):
        response.headers.update(PAGE_HEADERS)


def _close_streams(telegram: Telegram) -> Callable[[web.Application], Awaitable[None]]:
    async def close(app: web.Application) -> None:
        # Streams and long polls would hold a stop for as long as they last.
        telegram.live.close()
        telegram.faults.clear()
        telegram.poller.terminate(None)

    return close


def _running(telegram: Telegram, bot_api: BotApi) -> Callable[[web.Application], AsyncIterator[None]]:
    async def run(app: web.Application) -> AsyncIterator[None]:
        bot_api.webhook.start()
        yield
        await bot_api.webhook.stop()
        telegram.store.close()

    return run
