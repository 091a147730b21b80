"""Puts the control API together, and turns its refusals into answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from devstack.telegram.bot_api import BotApi
from devstack.telegram.control_api.event_routes import EventRoutes
from devstack.telegram.control_api.fault_routes import FaultRoutes
from devstack.telegram.control_api.message_routes import MessageRoutes
from devstack.telegram.control_api.payment_routes import PaymentRoutes
from devstack.telegram.control_api.people_routes import PeopleRoutes
from devstack.telegram.control_api.record_routes import RecordRoutes
from devstack.telegram.control_api.subscription_routes import SubscriptionRoutes
from devstack.telegram.errors import ControlError
from devstack.telegram.people import People
from devstack.telegram.telegram import Telegram

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_control_routes(
    router: web.UrlDispatcher,
    telegram: Telegram,
    people: People,
    bot_api: BotApi,
    people_anew: Callable[[], None],
) -> None:
    PeopleRoutes(telegram, people).add_to(router)
    MessageRoutes(telegram, people).add_to(router)
    PaymentRoutes(telegram, people).add_to(router)
    SubscriptionRoutes(telegram, people).add_to(router)
    RecordRoutes(telegram).add_to(router)
    FaultRoutes(telegram, bot_api, people_anew).add_to(router)
    EventRoutes(telegram).add_to(router)


@web.middleware
async def refuse_plainly(request: web.Request, handler: Answer) -> web.StreamResponse:
    if not request.path.startswith("/control/"):
        return await handler(request)
    # A foreign page's form cannot send this type, so it cannot act here behind one's back.
    if request.method != "GET" and request.content_type != "application/json":
        return web.json_response({"error": "Content-Type: expected application/json"}, status=415)
    try:
        return await handler(request)
    except ControlError as error:
        return web.json_response({"error": error.reason}, status=error.status)
    except web.HTTPException as error:
        return web.json_response({"error": error.reason}, status=error.status)
