"""Faults, limits, the clock, a reset, and how the server is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from aiohttp import web

from devstack.telegram.bot_api import BotApi
from devstack.telegram.control_api.requests import path_integer, read_body
from devstack.telegram.errors import ControlError
from devstack.telegram.telegram import Telegram


class FaultRoutes:
    def __init__(self, telegram: Telegram, bot_api: BotApi, people_anew: Callable[[], None]) -> None:
        self._telegram = telegram
        self._bot_api = bot_api
        self._people_anew = people_anew

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/control/health", self.health)
        router.add_get("/control/faults", self.faults)
        router.add_post("/control/faults", self.add_fault)
        router.add_delete("/control/faults", self.clear_faults)
        router.add_delete("/control/faults/{id}", self.clear_fault)
        router.add_get("/control/limits", self.limits)
        router.add_put("/control/limits", self.set_limits)
        router.add_post("/control/clock", self.advance)
        router.add_post("/control/reset", self.reset)

    async def health(self, request: web.Request) -> web.Response:
        telegram = self._telegram
        counts = {
            table: telegram.store.read(f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608 - names below
            for table in ("users", "messages", "updates", "requests")
        }
        return web.json_response(
            {
                "ok": True,
                "bot": telegram.bot.api(),
                "data": str(telegram.data_dir),
                "pending_update_count": telegram.updates.pending_count(),
                "webhook": self._bot_api.webhook.info(),
                "limits": asdict(telegram.limits.settings),
                "faults": len(telegram.faults.all()),
                "counts": counts,
            }
        )

    async def faults(self, request: web.Request) -> web.Response:
        return web.json_response({"faults": [fault.described() for fault in self._telegram.faults.all()]})

    async def add_fault(self, request: web.Request) -> web.Response:
        fault = self._telegram.faults.add((await read_body(request)).fields)
        return web.json_response({"fault": fault.described()})

    async def clear_faults(self, request: web.Request) -> web.Response:
        return web.json_response({"cleared": self._telegram.faults.clear()})

    async def clear_fault(self, request: web.Request) -> web.Response:
        cleared = self._telegram.faults.clear(path_integer(request))
        if not cleared:
            raise ControlError(404, f"there is no fault {path_integer(request)}")
        return web.json_response({"cleared": cleared})

    async def limits(self, request: web.Request) -> web.Response:
        return web.json_response({"limits": asdict(self._telegram.limits.settings)})

    async def set_limits(self, request: web.Request) -> web.Response:
        settings = self._telegram.limits.settings
        known = asdict(settings)
        for name, value in (await read_body(request)).fields.items():
            if name not in known:
                raise ControlError(400, f"a limit is one of {', '.join(known)}, not {name}")
            if name == "enabled" and not isinstance(value, bool):
                raise ControlError(400, f"enabled: expected true or false, got {value!r}")
            if name != "enabled" and (not isinstance(value, int | float) or value <= 0):
                raise ControlError(400, f"{name}: expected a number above 0, got {value!r}")
            setattr(settings, name, value)
        self._telegram.limits.forget()
        return await self.limits(request)

    async def advance(self, request: web.Request) -> web.Response:
        ahead = self._telegram.clock.advance((await read_body(request)).integer("advance_seconds"))
        return web.json_response({"ahead_seconds": ahead, "now": self._telegram.clock.now()})

    async def reset(self, request: web.Request) -> web.Response:
        telegram = self._telegram
        body = await read_body(request)
        await self._bot_api.webhook.stop()
        telegram.faults.clear()
        telegram.clock.set_right()
        telegram.limits.reset()
        telegram.poller.forget()
        telegram.store.reset(bot_settings=body.flag("bot_settings"))
        self._people_anew()
        self._bot_api.webhook.start()
        telegram.live.tell("reset")
        await telegram.store.committed()
        return web.json_response({"ok": True})
