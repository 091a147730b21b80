"""Where people talk: in a group, or in one of its topics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from devstack.telegram.control_objects import SeenMessage


@dataclass(frozen=True)
class Chat:
    """A chat by its id, or one topic of it."""

    id: int
    thread_id: int | None = None

    def has(self, message: SeenMessage) -> bool:
        return self.thread_id is None or message.message.get("message_thread_id") == self.thread_id


@dataclass(frozen=True)
class Group:
    """A supergroup with the bot in it."""

    id: int
    title: str
    _make_topic: Callable[[str], int] = field(repr=False)

    @property
    def chat(self) -> Chat:
        return Chat(self.id)

    def topic(self, name: str) -> Topic:
        """Make a topic. The first one makes the group a forum."""
        return Topic(self, name, self._make_topic(name))


@dataclass(frozen=True)
class Topic:
    """A topic of a group."""

    group: Group
    name: str
    thread_id: int

    @property
    def chat(self) -> Chat:
        return Chat(self.group.id, self.thread_id)
