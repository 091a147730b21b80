"""/bot<token>/<method>: takes a request, serves it or lets a fault have it, keeps the record, answers."""

from __future__ import annotations

import hmac
import json
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from devstack.telegram.errors import ApiError, too_many_requests
from devstack.telegram.faults import Fault
from devstack.telegram.methods import copying, receiving
from devstack.telegram.methods.registry import METHODS, RECEIVING
from devstack.telegram.parameters import Parameters, read_parameters
from devstack.telegram.telegram import Telegram
from devstack.telegram.webhook import Webhook

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Served:
    """How a request went: what to answer, and what the record says about it."""

    body: dict[str, Any] = field(default_factory=dict)
    outcome: str = "ok"
    took_effect: bool = False
    fault: Fault | None = None
    hang_after: bool = False

    @property
    def status(self) -> int:
        return int(self.body.get("error_code", 200))


class BotApi:
    """The bot's side of the server."""

    def __init__(self, telegram: Telegram) -> None:
        self._telegram = telegram
        self.webhook = Webhook(telegram.store, telegram.updates, telegram.clock, self._webhook_reply)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        started_at = self._telegram.clock.now()
        params, problem = Parameters({}, {}), None
        try:
            params = await read_parameters(request)
        except ApiError as error:
            problem = error
        asked = request.match_info["method"]
        name = RECEIVING.get(asked.lower())
        if asked.lower() in METHODS:
            name = METHODS[asked.lower()].name
        if not self._is_ours(request.match_info["token"]):
            problem = ApiError(401, "Unauthorized")
        elif name is None:
            problem = ApiError(404, "Not Found")
        name = name or asked
        served = await self._serve(name, params, lambda: _is_gone(request), problem)
        self._keep(name, params, started_at, served)
        await self._telegram.store.committed()
        if served.hang_after and served.fault is not None:
            await self._telegram.faults.until_cleared(served.fault, served.fault.seconds)
        if served.outcome in ("reset", "hung"):
            return _reset(request)
        return _json(served.body, served.status)

    async def download(self, request: web.Request) -> web.StreamResponse:
        """A file by the path that getFile gave."""
        file = self._telegram.files.get(request.match_info["path"])
        if file is None or not self._is_ours(request.match_info["token"]):
            return _json(ApiError(404, "Not Found").body(), 404)
        return web.FileResponse(
            self._telegram.files.path(file), headers={"Content-Type": "application/octet-stream"}
        )

    def _is_ours(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._telegram.bot.token.encode())

    async def _serve(
        self, name: str, params: Parameters, is_gone: Callable[[], bool], problem: ApiError | None
    ) -> _Served:
        served = _Served()
        for fault in self._telegram.faults.take(name, params.optional_integer("chat_id")):
            served.fault = fault
            if fault.kind == "latency":
                await self._telegram.faults.until_cleared(fault, fault.seconds)
                continue
            error = fault.error()
            if error is not None:
                served.outcome, served.body = "error", error.body()
                return served
            served.outcome = "hung" if fault.kind == "hang" else "reset"
            if fault.kind == "outage" or (fault.kind == "reset" and fault.when == "before"):
                return served
            if fault.kind == "hang":
                served.hang_after = True
                if fault.when == "before":
                    return served
        await self._carry_out(name, params, is_gone, served, problem)
        return served

    async def _carry_out(
        self,
        name: str,
        params: Parameters,
        is_gone: Callable[[], bool],
        served: _Served,
        problem: ApiError | None = None,
    ) -> None:
        """Do what was asked; `problem` is what is wrong with the request before it comes to that."""
        try:
            self._check(name, params, problem)
            served.body = {"ok": True, **await self._call(name, params, is_gone)}
            served.took_effect = True
        except ApiError as error:
            served.body = error.body()
            if served.outcome == "ok":
                served.outcome = "error"
        except Exception:
            # The edge of the process: the bot gets what Telegram would say, we get the traceback.
            logger.exception("method %s failed", name)
            served.outcome, served.body = "error", ApiError(500, "Internal Server Error").body()

    async def _call(self, name: str, params: Parameters, is_gone: Callable[[], bool]) -> dict[str, Any]:
        telegram = self._telegram
        if name == "getUpdates":
            return {"result": await receiving.get_updates(telegram, self.webhook, params, is_gone)}
        if name == "getWebhookInfo":
            return {"result": self.webhook.info()}
        if name == "setWebhook":
            result, description = await receiving.set_webhook(telegram, self.webhook, params)
            return {"result": result, "description": description}
        if name == "deleteWebhook":
            result, description = await receiving.delete_webhook(telegram, self.webhook, params)
            return {"result": result, "description": description}
        return {"result": METHODS[name.lower()].call(telegram, params)}

    def _check(self, name: str, params: Parameters, problem: ApiError | None) -> None:
        if problem is not None:
            raise problem
        method = METHODS.get(name.lower())
        chat_id = params.optional_integer("chat_id")
        if method is None or not method.limited or chat_id is None:
            return
        wait = self._telegram.limits.wait_seconds(
            chat_id,
            # Telegram knows no payment for an album, and passes over what it does not know.
            paid=params.flag("allow_paid_broadcast") and name != "copyMessages",
            pieces=len(copying.read_message_ids(params, copying.COPIES_MAX)) if name == "copyMessages" else 1,
        )
        if wait:
            raise too_many_requests(wait)

    def _keep(self, name: str, params: Parameters, started_at: float, served: _Served) -> None:
        result = served.body.get("result")
        self._telegram.record.add(
            method=name,
            chat_id=params.optional_integer("chat_id"),
            params=params.recorded(),
            started_at=started_at,
            finished_at=self._telegram.clock.now(),
            outcome=served.outcome,
            took_effect=served.took_effect,
            error_code=served.body.get("error_code"),
            description=served.body.get("description"),
            message_id=result.get("message_id") if isinstance(result, dict) else None,
            fault_id=served.fault.id if served.fault else None,
            fault_kind=served.fault.kind if served.fault else None,
        )
        self._telegram.live.changed.ring()

    async def _webhook_reply(self, call: dict[str, Any]) -> None:
        """Carry out the method a webhook's response asked for; its result goes nowhere, as with Telegram."""
        name = call["method"].lower()
        if name not in METHODS:
            return
        params = Parameters({key: item for key, item in call.items() if key != "method"}, {})
        served = _Served()
        started_at = self._telegram.clock.now()
        await self._carry_out(METHODS[name].name, params, lambda: False, served)
        self._keep(METHODS[name].name, params, started_at, served)


def _json(body: dict[str, Any], status: int) -> web.Response:
    return web.Response(
        body=json.dumps(body, separators=(",", ":")).encode(), status=status, content_type="application/json"
    )


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _reset(request: web.Request) -> web.Response:
    """End the connection with a RST, so that the bot sees a reset and no tidy end."""
    transport = request.transport
    if transport is not None:
        connection: socket.socket | None = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()
