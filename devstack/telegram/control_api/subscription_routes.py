"""Subscribing by a link, and what Telegram and a subscriber do with a subscription after that."""

from __future__ import annotations

from aiohttp import web

from devstack.telegram.control_api.requests import read_body
from devstack.telegram.errors import ControlError
from devstack.telegram.methods import subscriptions
from devstack.telegram.methods.subscriptions import STATES
from devstack.telegram.people import People
from devstack.telegram.telegram import Telegram

CHARGES = ("begin", "renew")


class SubscriptionRoutes:
    def __init__(self, telegram: Telegram, people: People) -> None:
        self._telegram = telegram
        self._people = people

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_post("/control/subscriptions", self.act)
        router.add_get("/control/users/{id}/subscriptions", self.of_user)
        router.add_get("/control/invoice_link", self.link)

    async def act(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        user_id, link, action = body.integer("user_id"), body.text("link"), body.text("action")
        if action in CHARGES:
            self._people.visit(user_id)
            _, update_id = subscriptions.charge(
                self._telegram,
                user_id,
                link,
                body.text("charge_id"),
                is_first=action == "begin",
                is_lost=body.flag("lost"),
            )
        elif action in STATES:
            update_id = subscriptions.turn(self._telegram, user_id, link, action)
        else:
            raise ControlError(400, f"action: expected one of {', '.join((*CHARGES, *STATES))}")
        await self._telegram.store.committed()
        return web.json_response({"update_id": update_id})

    async def of_user(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"subscriptions": self._telegram.subscriptions.of_user(int(request.match_info["id"]))}
        )

    async def link(self, request: web.Request) -> web.Response:
        found = self._telegram.subscriptions.link(request.query.get("link", ""))
        if found is None:
            raise ControlError(404, "there is no such link")
        return web.json_response({"link": found})
