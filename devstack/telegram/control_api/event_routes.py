"""Server-sent events: what the chat page listens to."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from devstack.telegram.control_api.requests import query_integer
from devstack.telegram.telegram import Telegram

KEEP_ALIVE_SECONDS = 15.0


class EventRoutes:
    def __init__(self, telegram: Telegram) -> None:
        self._telegram = telegram

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/control/events", self.events)

    async def events(self, request: web.Request) -> web.StreamResponse:
        chat_id = query_integer(request, "chat_id")
        user_id = query_integer(request, "user_id")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        # First listen, then say so: whoever hears that the stream is open misses nothing.
        queue = self._telegram.live.listen()
        try:
            await response.prepare(request)
            await response.write(b"retry: 500\n\n")
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    await response.write(b": still here\n\n")
                    continue
                if event is None:
                    break
                if _concerns(event, chat_id, user_id):
                    await response.write(f"data: {json.dumps(event)}\n\n".encode())
        except ConnectionError:
            pass  # the page was closed
        finally:
            self._telegram.live.forget(queue)
        return response


def _concerns(event: dict[str, Any], chat_id: int | None, user_id: int | None) -> bool:
    if event["kind"] == "callback_answer":
        return user_id is None or event["user_id"] == user_id
    if event["kind"] in ("message", "chat_action"):
        return chat_id is None or event["chat_id"] == chat_id
    return True
