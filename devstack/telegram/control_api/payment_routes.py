"""Paying as a user: the question before, and what Telegram says after.

Neither depends on the other here, so that a test can have a payment that was refused, or never asked about.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from devstack.telegram.control_api.requests import Body, query_wait_seconds, read_body
from devstack.telegram.control_api.waiting import wait_until_some
from devstack.telegram.errors import ControlError
from devstack.telegram.methods.payments import STARS
from devstack.telegram.people import People
from devstack.telegram.telegram import Telegram


class PaymentRoutes:
    def __init__(self, telegram: Telegram, people: People) -> None:
        self._telegram = telegram
        self._people = people

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_post("/control/checkouts", self.check_out)
        router.add_get("/control/checkouts/{id}", self.checkout)
        router.add_post("/control/payments", self.pay)
        router.add_get("/control/stars", self.star_book)
        router.add_post("/control/stars", self.book_other)

    async def check_out(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        query_id, update_id = self._people.check_out(body.integer("user_id"), **self._price(body))
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
            is_lost=body.flag("lost"),
            **self._price(body),
        )
        await self._telegram.store.committed()
        return web.json_response({"message": message.described(), "update_id": update_id})

    async def star_book(self, request: web.Request) -> web.Response:
        """Telegram's book of the bot's Stars, whole: what getStarTransactions tells in pages."""
        stars = self._telegram.stars
        rows = [{**row, "is_refund": bool(row["is_refund"])} for row in stars.transactions(0, -1)]
        return web.json_response({"transactions": rows, "balance": stars.balance()[0]})

    async def book_other(self, request: web.Request) -> web.Response:
        """A transaction of which the bot is told by its book only, such as a withdrawal."""
        body = await read_body(request)
        transaction_id, partner = body.text("id"), body.fields.get("partner")
        if not isinstance(partner, dict) or not isinstance(partner.get("type"), str):
            raise ControlError(400, "partner: expected a TransactionPartner of the Bot API")
        is_new = self._telegram.stars.book_other(
            transaction_id=transaction_id,
            stars=body.integer("stars"),
            nanostars=body.optional_integer("nanostars") or 0,
            partner=partner,
            is_outgoing=body.flag("outgoing"),
        )
        if not is_new:
            raise ControlError(409, f"there is a transaction {transaction_id!r} already")
        await self._telegram.store.committed()
        return web.json_response({})

    def _price(self, body: Body) -> dict[str, Any]:
        """Of the invoice that message `invoice` of the user's chat is; without one as it is said."""
        message_id = body.optional_integer("invoice")
        if message_id is None:
            return {
                "currency": body.text("currency", STARS),
                "total_amount": body.integer("total_amount"),
                "payload": body.text("payload", "an invoice"),
            }
        user_id = body.integer("user_id")
        message = self._telegram.messages.get(body.integer("chat_id", user_id), message_id)
        payload = self._telegram.checkouts.invoice_payload(message_id)
        if message is None or payload is None:
            raise ControlError(404, f"message {message_id} is no invoice that user {user_id} sees")
        invoice = message.payload["invoice"]
        return {
            "currency": invoice["currency"],
            "total_amount": invoice["total_amount"],
            "payload": payload,
        }
