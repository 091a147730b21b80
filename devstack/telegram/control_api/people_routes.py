"""Users, chats, and what a user sees there."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aiohttp import web

from devstack.telegram.control_api.requests import path_integer, query_integer, query_limit, read_body
from devstack.telegram.errors import ControlError
from devstack.telegram.people import People
from devstack.telegram.state.chats import BotStatus, Chat, ChatType
from devstack.telegram.state.users import User
from devstack.telegram.telegram import Telegram

USERS_LISTED = 1000
MANY_MAX = 1_000_000


class PeopleRoutes:
    def __init__(self, telegram: Telegram, people: People) -> None:
        self._telegram = telegram
        self._people = people

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/control/users", self.users)
        router.add_post("/control/users", self.add_user)
        router.add_post("/control/users/many", self.add_users)
        router.add_patch("/control/users/{id}", self.change_user)
        router.add_post("/control/users/{id}/block", self.block)
        router.add_post("/control/users/{id}/unblock", self.unblock)
        router.add_get("/control/chats", self.chats)
        router.add_post("/control/chats", self.add_chat)
        router.add_post("/control/chats/{id}/members", self.add_members)
        router.add_post("/control/chats/{id}/bot", self.set_bot_status)
        router.add_post("/control/chats/{id}/upgrade", self.upgrade)
        router.add_post("/control/chats/{id}/delete", self.delete)
        router.add_post("/control/chats/{id}/topics", self.add_topic)
        router.add_patch("/control/chats/{id}/topics", self.close_topic)
        router.add_get("/control/commands", self.commands)

    async def users(self, request: web.Request) -> web.Response:
        listed = self._telegram.users.all(query_limit(request, USERS_LISTED))
        return web.json_response({"users": [self._user(user) for user in listed]})

    async def add_user(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        user_id = body.optional_integer("id")
        if user_id is not None and user_id <= 0:
            raise ControlError(400, f"id: a user's id is positive, got {user_id}")
        first_name = body.text("first_name").strip()
        if not first_name:
            raise ControlError(400, "first_name: a user has one")
        user = User(
            id=self._telegram.users.draw_ids() if user_id is None else user_id,
            first_name=first_name,
            last_name=body.optional_text("last_name"),
            username=body.optional_text("username"),
            language_code=body.text("language_code", "en"),
            is_admin=body.flag("is_admin"),
            deactivated=False,
        )
        added = self._people.add(user, started=body.flag("started"))
        await self._telegram.store.committed()
        return web.json_response({"user": self._user(added)})

    async def add_users(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        count = body.integer("count")
        if not 1 <= count <= MANY_MAX:
            raise ControlError(400, f"count: expected 1 to {MANY_MAX}, got {count}")
        ids = self._people.add_many(
            count,
            first_id=body.optional_integer("first_id"),
            first_name=body.text("first_name", "User"),
            started=body.flag("started"),
        )
        await self._telegram.store.committed()
        return web.json_response({"first_id": ids[0], "last_id": ids[-1], "count": count})

    async def change_user(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        user = self._people.change(path_integer(request), body.fields)
        await self._telegram.store.committed()
        return web.json_response({"user": self._user(user)})

    async def block(self, request: web.Request) -> web.Response:
        return await self._update(self._people.block(path_integer(request)))

    async def unblock(self, request: web.Request) -> web.Response:
        return await self._update(self._people.unblock(path_integer(request)))

    async def chats(self, request: web.Request) -> web.Response:
        user_id = query_integer(request, "user_id")
        chats = self._telegram.chats
        found = chats.groups() if user_id is None else chats.of_user(user_id)
        return web.json_response({"chats": [self._chat(chat) for chat in found]})

    async def add_chat(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        kind = body.text("type", "group")
        if kind not in (ChatType.GROUP, ChatType.SUPERGROUP):
            raise ControlError(400, f"type: expected group or supergroup, got {kind!r}")
        chat, update_id = self._people.create_group(
            body.text("title"),
            body.integers("member_ids"),
            kind=ChatType(kind),
            chat_id=body.optional_integer("id"),
        )
        await self._telegram.store.committed()
        return web.json_response({"chat": self._chat(chat), "update_id": update_id})

    async def add_members(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        chat = self._telegram.chats.require(path_integer(request))
        self._telegram.chats.add_members(chat.id, body.integers("member_ids"))
        await self._telegram.store.committed()
        return web.json_response({"chat": self._chat(chat)})

    async def set_bot_status(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        status = body.text("status")
        if status not in (BotStatus.MEMBER, BotStatus.KICKED, BotStatus.LEFT):
            raise ControlError(400, f"status: expected member, kicked or left, got {status!r}")
        return await self._update(
            self._people.set_group_status(body.integer("user_id"), path_integer(request), BotStatus(status))
        )

    async def upgrade(self, request: web.Request) -> web.Response:
        chat = self._people.upgrade_group(path_integer(request))
        await self._telegram.store.committed()
        return web.json_response({"chat": self._chat(chat)})

    async def add_topic(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        topic = self._people.create_topic(body.integer("user_id"), path_integer(request), body.text("name"))
        await self._telegram.store.committed()
        return web.json_response({"topic": asdict(topic)})

    async def close_topic(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        topic = self._people.close_topic(
            path_integer(request), body.integer("thread_id"), closed=body.flag("closed")
        )
        await self._telegram.store.committed()
        return web.json_response({"topic": asdict(topic)})

    async def delete(self, request: web.Request) -> web.Response:
        chat = self._telegram.chats.require(path_integer(request))
        if chat.type is ChatType.PRIVATE:
            raise ControlError(400, f"chat {chat.id} is private; only groups are deleted")
        self._telegram.chats.set_deleted(chat.id)
        await self._telegram.store.committed()
        return web.json_response({"chat": self._chat(self._telegram.chats.require(chat.id))})

    async def commands(self, request: web.Request) -> web.Response:
        user = self._telegram.users.require(query_integer(request, "user_id") or 0)
        chat_id = query_integer(request, "chat_id") or user.id
        menu = self._telegram.commands.menu(
            chat_id=chat_id, user_id=user.id, language_code=user.language_code
        )
        return web.json_response({"commands": menu})

    async def _update(self, update_id: int | None) -> web.Response:
        await self._telegram.store.committed()
        return web.json_response({"update_id": update_id})

    def _user(self, user: User) -> dict[str, Any]:
        chat = self._telegram.chats.require(user.id)
        return {**asdict(user), "bot_status": str(chat.bot_status)}

    def _chat(self, chat: Chat) -> dict[str, Any]:
        return {
            **self._telegram.chats.api(chat),
            "bot_status": str(chat.bot_status),
            "deleted": chat.deleted,
            "migrated_to": chat.migrated_to,
            "member_ids": self._telegram.chats.member_ids(chat.id),
            "topics": [asdict(topic) for topic in self._telegram.topics.listed(chat.id)],
        }
