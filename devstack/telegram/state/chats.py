"""The chats, who is in them, and what the bot may do there."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from devstack.telegram.errors import ControlError
from devstack.telegram.state.store import Store
from devstack.telegram.state.topics import Topics
from devstack.telegram.state.users import Users


class ChatType(StrEnum):
    PRIVATE = "private"
    GROUP = "group"
    SUPERGROUP = "supergroup"


class BotStatus(StrEnum):
    """How the bot stands in a chat. A stranger is a private chat whose user never started the bot."""

    STRANGER = "stranger"
    MEMBER = "member"
    KICKED = "kicked"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Chat:
    id: int
    type: ChatType
    title: str | None
    bot_status: BotStatus
    deleted: bool
    migrated_to: int | None


class Chats:
    def __init__(self, store: Store, users: Users, topics: Topics) -> None:
        self._store = store
        self._users = users
        self._topics = topics

    def get(self, chat_id: int) -> Chat | None:
        row = self._store.read_one("SELECT * FROM chats WHERE id = ?", chat_id)
        return None if row is None else _chat(row)

    def require(self, chat_id: int) -> Chat:
        chat = self.get(chat_id)
        if chat is None:
            raise ControlError(404, f"there is no chat {chat_id}")
        return chat

    def groups(self) -> list[Chat]:
        return [_chat(row) for row in self._store.read("SELECT * FROM chats WHERE id < 0 ORDER BY id DESC")]

    def of_user(self, user_id: int) -> list[Chat]:
        """The chats a user sees: the private one with the bot, and their groups."""
        rows = self._store.read(
            "SELECT * FROM chats WHERE id = ?1 OR id IN (SELECT chat_id FROM members WHERE user_id = ?1)"
            " ORDER BY id DESC",
            user_id,
        )
        return [_chat(row) for row in rows]

    def add_private(self, user_id: int, started: bool) -> None:
        status = BotStatus.MEMBER if started else BotStatus.STRANGER
        self._store.write(
            "INSERT INTO chats (id, type, bot_status) VALUES (?, ?, ?)", user_id, ChatType.PRIVATE, status
        )

    def add_private_many(self, user_ids: list[int], started: bool) -> None:
        status = BotStatus.MEMBER if started else BotStatus.STRANGER
        self._store.write_many(
            "INSERT OR IGNORE INTO chats (id, type, bot_status) VALUES (?, ?, ?)",
            [(user_id, ChatType.PRIVATE, status) for user_id in user_ids],
        )

    def add_group(self, chat_id: int | None, kind: ChatType, title: str, member_ids: list[int]) -> Chat:
        if chat_id is None:
            number = self._store.next("group_id", start=4_000_001)
            chat_id = -1_000_000_000_000 - number if kind is ChatType.SUPERGROUP else -number
        if chat_id >= 0:
            raise ControlError(400, f"a group's id is negative, not {chat_id}")
        if self.get(chat_id) is not None:
            raise ControlError(409, f"chat {chat_id} exists already")
        self._store.write(
            "INSERT INTO chats (id, type, title, bot_status) VALUES (?, ?, ?, ?)",
            chat_id,
            kind,
            title,
            BotStatus.MEMBER,
        )
        self.add_members(chat_id, member_ids)
        return self.require(chat_id)

    def add_members(self, chat_id: int, user_ids: list[int]) -> None:
        for user_id in user_ids:
            self._users.require(user_id)
        self._store.write_many(
            "INSERT OR IGNORE INTO members (chat_id, user_id) VALUES (?, ?)",
            [(chat_id, user_id) for user_id in user_ids],
        )

    def member_ids(self, chat_id: int) -> list[int]:
        rows = self._store.read("SELECT user_id FROM members WHERE chat_id = ? ORDER BY user_id", chat_id)
        return [row["user_id"] for row in rows]

    def is_in(self, chat: Chat, user_id: int) -> bool:
        if chat.type is ChatType.PRIVATE:
            return chat.id == user_id
        row = self._store.read_one(
            "SELECT 1 FROM members WHERE chat_id = ? AND user_id = ?", chat.id, user_id
        )
        return row is not None

    def set_bot_status(self, chat_id: int, status: BotStatus) -> None:
        self._store.write("UPDATE chats SET bot_status = ? WHERE id = ?", status, chat_id)

    def set_deleted(self, chat_id: int) -> None:
        self._store.write("UPDATE chats SET deleted = 1 WHERE id = ?", chat_id)

    def set_migrated(self, chat_id: int, to_chat_id: int) -> None:
        self._store.write("UPDATE chats SET migrated_to = ? WHERE id = ?", to_chat_id, chat_id)

    def api(self, chat: Chat) -> dict[str, Any]:
        """The Bot API's Chat object, with the user's name of today in a private chat."""
        described: dict[str, Any] = {"id": chat.id, "type": str(chat.type)}
        if chat.type is ChatType.PRIVATE:
            user = self._users.require(chat.id).api()
            for field in ("first_name", "last_name", "username"):
                if field in user:
                    described[field] = user[field]
        else:
            described["title"] = chat.title
            if chat.type is ChatType.GROUP:
                described["all_members_are_administrators"] = False
            elif self._topics.listed(chat.id):
                described["is_forum"] = True
        return described


def _chat(row: sqlite3.Row) -> Chat:
    return Chat(
        id=row["id"],
        type=ChatType(row["type"]),
        title=row["title"],
        bot_status=BotStatus(row["bot_status"]),
        deleted=bool(row["deleted"]),
        migrated_to=row["migrated_to"],
    )
