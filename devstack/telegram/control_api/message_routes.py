"""Writing and pressing as a user, and reading what a chat shows."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from devstack.telegram.control_api.requests import (
    Body,
    path_integer,
    query_flag,
    query_integer,
    query_limit,
    query_wait_seconds,
    read_body,
)
from devstack.telegram.control_api.waiting import wait_until_some
from devstack.telegram.errors import ControlError
from devstack.telegram.people import People
from devstack.telegram.telegram import Telegram

MESSAGES_LISTED = 1000
DELIVERIES_MAX = 100


class MessageRoutes:
    def __init__(self, telegram: Telegram, people: People) -> None:
        self._telegram = telegram
        self._people = people

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/control/messages", self.messages)
        router.add_post("/control/messages", self.write)
        router.add_patch("/control/messages/{id}", self.rewrite)
        router.add_post("/control/presses", self.press)
        router.add_get("/control/callback_queries", self.callback_queries)
        router.add_get("/control/callback_queries/{id}", self.callback_query)
        router.add_get("/control/files/{file_id}", self.file)

    async def messages(self, request: web.Request) -> web.Response:
        after = query_integer(request, "after") or 0
        chat_id = query_integer(request, "chat_id")
        limit = query_limit(request, MESSAGES_LISTED)
        include_deleted = bool(query_flag(request, "include_deleted"))
        from_bot = query_flag(request, "from_bot")
        latest = bool(query_flag(request, "latest"))
        found = await wait_until_some(
            lambda: self._telegram.messages.listed(
                chat_id=chat_id,
                after=after,
                limit=limit,
                include_deleted=include_deleted,
                from_bot=from_bot,
                latest=latest,
            ),
            self._telegram.live.changed,
            query_wait_seconds(request),
        )
        as_of = self._telegram.messages.last_revision()
        await self._telegram.store.committed()
        return web.json_response(
            {
                "messages": [message.described() for message in found],
                "as_of_revision": as_of,
                "revision": max((message.revision for message in found), default=after),
            }
        )

    async def write(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        user_id = body.integer("user_id")
        message, update_id = self._people.write(
            user_id,
            body.integer("chat_id", user_id),
            body.text("text", ""),
            reply_to_message_id=body.optional_integer("reply_to_message_id"),
            thread_id=body.optional_integer("thread_id"),
            photo=body.optional_text("photo"),
            video=body.optional_text("video"),
            document=body.optional_text("document"),
            file_name=body.optional_text("file_name"),
            album=body.optional_text("media_group_id"),
            location=_location(body),
            contact=_contact(body),
        )
        await self._telegram.store.committed()
        return web.json_response({"message": message.described(), "update_id": update_id})

    async def rewrite(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        user_id = body.integer("user_id")
        update_id = self._people.rewrite(
            user_id, body.integer("chat_id", user_id), path_integer(request), body.text("text")
        )
        await self._telegram.store.committed()
        return web.json_response({"update_id": update_id})

    async def press(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        user_id = body.integer("user_id")
        deliveries = body.integer("deliveries", 1)
        if not 1 <= deliveries <= DELIVERIES_MAX:
            raise ControlError(400, f"deliveries: expected 1 to {DELIVERIES_MAX}, got {deliveries}")
        presses = self._people.press(
            user_id,
            body.integer("chat_id", user_id),
            body.integer("message_id"),
            body.text("callback_data"),
            deliveries=deliveries,
            same_query_id=body.flag("same_query_id"),
            force=body.flag("force"),
        )
        await self._telegram.store.committed()
        return web.json_response(
            {
                "presses": [
                    {"callback_query_id": query_id, "update_id": update_id} for query_id, update_id in presses
                ]
            }
        )

    async def callback_query(self, request: web.Request) -> web.Response:
        query_id = request.match_info["id"]
        queries = self._telegram.callback_queries
        if queries.get(query_id) is None:
            raise ControlError(404, f"there is no callback query {query_id}")
        await wait_until_some(
            lambda: (queries.get(query_id) or {}).get("answer"),
            self._telegram.live.changed,
            query_wait_seconds(request),
        )
        return web.json_response({"callback_query": queries.get(query_id)})

    async def callback_queries(self, request: web.Request) -> web.Response:
        chat_id = query_integer(request, "chat_id")
        if chat_id is None:
            raise ControlError(400, "chat_id: which chat's presses?")
        listed = self._telegram.callback_queries.listed(chat_id, query_limit(request, MESSAGES_LISTED))
        return web.json_response({"callback_queries": listed})

    async def file(self, request: web.Request) -> web.StreamResponse:
        file = self._telegram.files.get(request.match_info["file_id"])
        if file is None:
            raise ControlError(404, "there is no such file")
        # A document is downloaded, never opened: it may be a page full of scripts.
        kind = file.mime_type if file.width is not None else "application/octet-stream"
        return web.FileResponse(
            self._telegram.files.path(file),
            headers={"Content-Type": kind, "X-Content-Type-Options": "nosniff"},
        )


def _location(body: Body) -> dict[str, Any] | None:
    fields = body.fields.get("location")
    if fields is None:
        return None
    if not isinstance(fields, dict) or not all(
        isinstance(fields.get(name), int | float) for name in ("latitude", "longitude")
    ):
        raise ControlError(400, f"location: expected latitude and longitude, got {fields!r}")
    return {"latitude": float(fields["latitude"]), "longitude": float(fields["longitude"])}


def _contact(body: Body) -> dict[str, Any] | None:
    fields = body.fields.get("contact")
    if fields is None:
        return None
    if not isinstance(fields, dict) or not all(
        isinstance(fields.get(name), str) for name in ("phone_number", "first_name")
    ):
        raise ControlError(400, f"contact: expected phone_number and first_name, got {fields!r}")
    known = ("phone_number", "first_name", "last_name", "user_id")
    return {name: fields[name] for name in known if name in fields}
