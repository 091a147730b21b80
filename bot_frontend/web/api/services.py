"""What the API's paths work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis
from starlette.requests import Request

from ballast.inbox import Inbox, Publisher
from ballast.queueing import event_asking, outbox_relay
from ballast.texts import gettext
from bot_frontend.web.api.database import Database
from bot_frontend.web.api.problems import Problem
from dbcore.settings import Settings

if TYPE_CHECKING:
    from bot_frontend.web.api.media import Uploader


@dataclass(frozen=True, slots=True)
class Services:
    """Of one frontend. All but the database is synchronous, and is called in the database's threads."""

    settings: Settings
    database: Database
    redis: redis.Redis
    inbox: Inbox
    publisher: Publisher
    uploader: Uploader

    def require_currency(self, code: str | None) -> None:
        """Raises Problem for one that the bot does not have. None is the first."""
        known = self.settings.known_currencies
        if code is not None and known.get(code) is None:
            raise Problem(
                404,
                "not-found",
                gettext("The bot has no such currency: expected one of {known}", known=str(known)),
            )

    def tell_soon(self) -> None:
        """The people concerned, by the jobs that an act committed, and programs outside. Raises nothing."""
        outbox_relay.ask_after_commit(self.redis, self.publisher)
        if self.settings.events_url is not None:
            event_asking.ask(self.redis, self.publisher)


def services(request: Request) -> Services:
    """A dependency."""
    found: Services = request.app.state.api
    return found
