"""Paying as a user: the question before, and what Telegram says after.

Neither depends on the other here, so that a test can have a payment that was refused, or never asked about.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from devstack.telegram.control_api.requests import Body, query_wait_seconds, read_body
from devstack.telegram.control_api.waiting import wait_until_some
from devstack.telegram.errors import ControlError
from devstack.telegram.people import People
from devstack.telegram.telegram import Telegram

STARS = "XTR"


class PaymentRoutes:
    def __init__(self, telegram: Telegram, people: People) -> None:
        self._telegram = telegram
        self._people = people

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_post("/control/checkouts", self.check_out)
        router.add_get("/control/checkouts/{id}", self.checkout)
        router.add_post("/control/payments", self.pay)

    async def check_out(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        query_id, update_id = self._people.check_out(body.integer("user_id"), **_price(body))
        await self._telegram.store.committed()
        return web.json_response({"pre_checkout_query_id": query_id, "update_id": update_id})

    async def checkout(self, request: web.Request) -> web.Response:
        query_id = request.match_info["id"]
        checkouts = self._telegram.checkouts
        if checkouts.get(query_id) is None:
            raise ControlError(404, f"there is no pre-checkout query {query_id}")
        await wait_until_some(
            lambda: (checkouts.get(query_id) or {}).get("answer"),
            self._telegram.live.changed,
            query_wait_seconds(request),
        )
        return web.json_response({"checkout": checkouts.get(query_id)})

    async def pay(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        message, update_id = self._people.pay(
            body.integer("user_id"),
            charge_id=body.text("charge_id"),
            is_refund=body.flag("refunded"),
            **_price(body),
        )
        await self._telegram.store.committed()
        return web.json_response({"message": message.described(), "update_id": update_id})


def _price(body: Body) -> dict[str, Any]:
    return {
        "currency": body.text("currency", STARS),
        "total_amount": body.integer("total_amount"),
        "payload": body.text("payload", "an invoice"),
    }
