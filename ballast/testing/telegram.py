"""The local Telegram as a test sees it: its people, its groups, and what can be wrong with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from ballast.testing.event_loop import EventLoop
from ballast.testing.places import Group
from ballast.testing.user import Pressed, User
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_api.requests import LIMIT_MAX
from devstack.telegram.control_objects import Sent


class Telegram:
    """A local Telegram with one bot. Bots ask `url` with `token`; tests act as its people."""

    def __init__(self, url: str, token: str, admin_id: int) -> None:
        self.url = url
        self.token = token
        self._admin_id = admin_id

    def __enter__(self) -> Self:
        self._loop = EventLoop()
        self._control = TelegramControl(self.url)
        self._loop.run(self._control.__aenter__())
        return self

    def __exit__(self, *_exc: object) -> None:
        self._loop.run(self._control.__aexit__(None, None, None))
        self._loop.close()

    def user(self, first_name: str = "Anna", *, username: str | None = None, started: bool = False) -> User:
        """A new person. A username that somebody has already, of an earlier test say, is taken from them.

        started -- the chat with the bot is open, as if they had sent /start long ago.
        """
        if username is not None:
            for other in self._loop.run(self._control.users()):
                if (other.username or "").lower() == username.lower():
                    self._loop.run(self._control.change_user(other.id, username=None))
        made = self._loop.run(self._control.create_user(first_name, username=username, started=started))
        return User(self._loop, self._control, made.id, made.first_name)

    def admin(self) -> User:
        """The one admin of ADMIN_IDS, who has read all that there is so far."""
        messages = self._loop.run(self._control.messages(self._admin_id, limit=LIMIT_MAX))
        seen = max((message.revision for message in messages), default=0)
        return User(self._loop, self._control, self._admin_id, "The admin", seen=seen)

    def group(self, title: str, *members: User) -> Group:
        """A supergroup with these members and the bot, which its first member adds."""
        ids = [member.id for member in members]
        made = self._loop.run(self._control.create_group(title, ids, supergroup=True))

        def make_topic(name: str) -> int:
            return self._loop.run(self._control.create_topic(made.id, ids[0], name))

        return Group(made.id, made.title, make_topic)

    def redeliver(self, what: Sent | Pressed) -> None:
        """Hand the update of this message or press to the bot once more, as Telegram does at times."""
        if what.update_id is None:
            raise ValueError("the bot did not get this message: in groups it gets commands and answers only")
        self._loop.run(self._control.redeliver(what.update_id))

    @asynccontextmanager
    async def unavailable(self) -> AsyncIterator[None]:
        """Inside the block each connection of the bot is reset, whatever it asks for."""
        fault = self._loop.run(self._control.add_fault("outage"))
        try:
            yield
        finally:
            self._loop.run(self._control.clear_faults(fault.id))

    async def wait_until_acknowledged(self, *, within: float) -> None:
        """Until the bot has taken each update."""
        await self._loop.wait_for(self._control.wait_until_acknowledged(timeout_seconds=within))
