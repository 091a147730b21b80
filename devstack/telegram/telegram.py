"""Everything one local Telegram consists of, built once and handed to whoever needs it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.telegram.clock import Clock
from devstack.telegram.faults import Faults
from devstack.telegram.limits import Limits, LimitSettings
from devstack.telegram.live import Live
from devstack.telegram.polling import Poller
from devstack.telegram.state.callbacks import CallbackQueries
from devstack.telegram.state.chats import Chats
from devstack.telegram.state.checkouts import Checkouts
from devstack.telegram.state.commands import Commands
from devstack.telegram.state.files import Files
from devstack.telegram.state.messages import Messages
from devstack.telegram.state.record import Record
from devstack.telegram.state.stars import Stars
from devstack.telegram.state.store import Store
from devstack.telegram.state.subscriptions import Subscriptions
from devstack.telegram.state.topics import Topics
from devstack.telegram.state.updates import Updates
from devstack.telegram.state.users import Users


@dataclass(frozen=True, slots=True)
class BotIdentity:
    """The one bot this Telegram serves."""

    token: str
    first_name: str = "Ballast"
    username: str = "ballast_local_bot"

    @property
    def id(self) -> int:
        return int(self.token.split(":", 1)[0])

    def api(self) -> dict[str, Any]:
        """The bot as the User object inside messages."""
        return {"id": self.id, "is_bot": True, "first_name": self.first_name, "username": self.username}


class Telegram:
    """The state, and the things that act on it."""

    def __init__(self, data_dir: Path, bot: BotIdentity, limits: LimitSettings) -> None:
        self.bot = bot
        self.data_dir = data_dir.resolve()
        self.clock = Clock()
        self.store = Store(data_dir)
        self.live = Live()
        self.users = Users(self.store, self.clock)
        self.topics = Topics(self.store)
        self.chats = Chats(self.store, self.users, self.topics)
        self.messages = Messages(self.store, self.live)
        self.updates = Updates(self.store, self.clock, self.live)
        self.callback_queries = CallbackQueries(self.store, self.clock, self.live)
        self.checkouts = Checkouts(self.store, self.clock, self.live)
        self.stars = Stars(self.store, self.clock)
        self.subscriptions = Subscriptions(self.store, self.clock)
        self.commands = Commands(self.store)
        self.files = Files(self.store)
        self.record = Record(self.store)
        self.faults = Faults()
        self.limits = Limits(limits, time.monotonic)
        self.poller = Poller(self.updates)
