"""What an auditor asks for: updates, requests, deliveries. And raw updates, and the same one again."""

from __future__ import annotations

from aiohttp import web

from devstack.telegram.control_api.requests import (
    path_integer,
    query_flag,
    query_integer,
    query_limit,
    query_wait_seconds,
    read_body,
)
from devstack.telegram.control_api.waiting import wait_until_some
from devstack.telegram.errors import ControlError
from devstack.telegram.telegram import Telegram

LISTED = 1000
STATES = ("all", "pending", "acknowledged")


class RecordRoutes:
    def __init__(self, telegram: Telegram) -> None:
        self._telegram = telegram

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/control/updates", self.updates)
        router.add_get("/control/updates/pending", self.pending)
        router.add_post("/control/updates", self.inject)
        router.add_post("/control/updates/{id}/redeliver", self.redeliver)
        router.add_get("/control/requests", self.requests)
        router.add_get("/control/requests/counts", self.counts)
        router.add_get("/control/webhook_deliveries", self.deliveries)

    async def updates(self, request: web.Request) -> web.Response:
        state = request.query.get("state", "all")
        if state not in STATES:
            raise ControlError(400, f"state: expected one of {', '.join(STATES)}, got {state!r}")
        listed = self._telegram.updates.listed(
            state=state,
            kind=request.query.get("kind"),
            after=query_integer(request, "after") or 0,
            limit=query_limit(request, LISTED),
        )
        return web.json_response({"updates": [update.described() for update in listed]})

    async def pending(self, request: web.Request) -> web.Response:
        await wait_until_some(
            lambda: self._telegram.updates.pending_count() == 0,
            self._telegram.live.changed,
            query_wait_seconds(request),
        )
        return web.json_response({"pending_update_count": self._telegram.updates.pending_count()})

    async def inject(self, request: web.Request) -> web.Response:
        raw = (await read_body(request)).fields.get("update")
        if not isinstance(raw, dict):
            raise ControlError(400, f"update: expected an object, got {raw!r}")
        update_id = self._telegram.updates.inject(raw)
        await self._telegram.store.committed()
        return web.json_response({"update_id": update_id})

    async def redeliver(self, request: web.Request) -> web.Response:
        update = self._telegram.updates.redeliver(path_integer(request))
        await self._telegram.store.committed()
        return web.json_response({"update_id": update.update_id})

    async def requests(self, request: web.Request) -> web.Response:
        method = request.query.get("method")
        outcome = request.query.get("outcome")
        chat_id = query_integer(request, "chat_id")
        took_effect = query_flag(request, "took_effect")
        after = query_integer(request, "after") or 0
        limit = query_limit(request, LISTED)
        listed = await wait_until_some(
            lambda: self._telegram.record.listed(
                method=method,
                chat_id=chat_id,
                outcome=outcome,
                took_effect=took_effect,
                after=after,
                limit=limit,
            ),
            self._telegram.live.changed,
            query_wait_seconds(request),
        )
        return web.json_response({"requests": listed})

    async def counts(self, request: web.Request) -> web.Response:
        return web.json_response({"counts": self._telegram.record.counts()})

    async def deliveries(self, request: web.Request) -> web.Response:
        rows = self._telegram.store.read(
            "SELECT * FROM webhook_deliveries WHERE id > ? ORDER BY id LIMIT ?",
            query_integer(request, "after") or 0,
            query_limit(request, LISTED),
        )
        return web.json_response({"webhook_deliveries": [dict(row) for row in rows]})
