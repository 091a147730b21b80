"""The API, imported and made for the first request to it: it takes a third of what a frontend's start takes, and most
frontends are never asked.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import redis
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from ballast.inbox import Inbox, Publisher
from bot_frontend.web.access import Access
from bot_frontend.web.api import PREFIX
from dbcore.settings import Settings

if TYPE_CHECKING:
    from bot_frontend.web.api.api import Api


class LazyApi(BaseRoute):
    """Of one frontend: the route of all paths below `api.PREFIX`, whatever characters they have.

    access -- who may see pages, and call the API.
    """

    def __init__(self, settings: Settings, client: redis.Redis, inbox: Inbox, publisher: Publisher) -> None:
        self.access = Access(settings, client, inbox.roles, inbox.languages)
        self._settings, self._client, self._inbox, self._publisher = settings, client, inbox, publisher
        self._api: Api | None = None
        self._making = threading.Lock()

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_below = scope["type"] == "http" and scope["path"].startswith(f"{PREFIX}/")
        return (Match.FULL if is_below else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        api = self._api
        if api is None:
            api = await asyncio.to_thread(self.made)
        await api.app(scope, receive, send)

    def made(self) -> Api:
        """Takes half a second the first time."""
        from bot_frontend.web.api.api import Api

        with self._making:
            if self._api is None:
                self._api = Api(self._settings, self._client, self._inbox, self._publisher, self.access)
            return self._api

    async def close(self) -> None:
        if self._api is not None:
            await self._api.close()
