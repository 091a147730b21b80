"""Topics: of a supergroup, which is a forum then, and of a private chat.

A forum has the topic General from the start, which can be closed like any other. Its messages carry no thread id, and
Telegram does not take its id from a bot.
"""

from __future__ import annotations

from dataclasses import dataclass

from devstack.telegram.errors import ControlError
from devstack.telegram.state.store import Store

GENERAL_ID = 1


@dataclass(frozen=True, slots=True)
class Topic:
    chat_id: int
    thread_id: int
    name: str
    closed: bool


class Topics:
    def __init__(self, store: Store) -> None:
        self._store = store

    def listed(self, chat_id: int) -> list[Topic]:
        """General first; empty if the chat has no topics."""
        rows = self._store.read("SELECT * FROM topics WHERE chat_id = ? ORDER BY thread_id", chat_id)
        return [Topic(row["chat_id"], row["thread_id"], row["name"], bool(row["closed"])) for row in rows]

    def get(self, chat_id: int, thread_id: int) -> Topic | None:
        return next((topic for topic in self.listed(chat_id) if topic.thread_id == thread_id), None)

    def require(self, chat_id: int, thread_id: int) -> Topic:
        topic = self.get(chat_id, thread_id)
        if topic is None:
            raise ControlError(404, f"there is no topic {thread_id} in chat {chat_id}")
        return topic

    def add(self, chat_id: int, thread_id: int, name: str) -> Topic:
        """thread_id -- the id of the service message that says that it was created."""
        self._store.write_many(
            "INSERT OR IGNORE INTO topics (chat_id, thread_id, name) VALUES (?, ?, ?)",
            [(chat_id, GENERAL_ID, "General"), (chat_id, thread_id, name)],
        )
        return self.require(chat_id, thread_id)

    def set_closed(self, topic: Topic, closed: bool) -> Topic:
        self._store.write(
            "UPDATE topics SET closed = ? WHERE chat_id = ? AND thread_id = ?",
            closed,
            topic.chat_id,
            topic.thread_id,
        )
        return self.require(topic.chat_id, topic.thread_id)
