"""The API's way to the database: a guard whose calls have threads of their own, so that the event loop never waits.
Made with the first request, for most frontends never serve one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from ballast.texts import gettext
from bot_frontend.web.api.problems import Problem
from dbcore.ledger.balance_cache import BalanceSnapshot
from dbcore.settings import Settings

if TYPE_CHECKING:
    from dbcore.guard.aio import AsyncGuard
    from dbcore.guard.engine import GuardedEngine

T = TypeVar("T")


class Moving(Protocol):
    """What says the balances of those concerned."""

    @property
    def balances_now(self) -> tuple[BalanceSnapshot, ...]: ...


Moved = TypeVar("Moved", bound=Moving)

CONNECTIONS_MAX = 4
"""And so calls at once. They count in the fleet's budget."""

KEPT_CONNECTIONS = 1


class Database:
    """Raises Problem, and DatabaseAway as the guard does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._guard: AsyncGuard | None = None
        self._making = asyncio.Lock()

    async def run(
        self, function: Callable[[GuardedEngine], T], *, name: str, deadline_seconds: float | None = None
    ) -> T:
        """Run a plain function of the engine in one of the threads. name -- of the operation, for the log.

        deadline_seconds -- for all of it. Default DB_DEADLINE_SECONDS.
        """
        guard = await self._made()
        return await guard.run(
            lambda: function(guard.guard.engine), name=name, deadline_seconds=deadline_seconds
        )

    async def move(self, function: Callable[[GuardedEngine], Moved], *, name: str) -> Moved:
        """The same for what moves money; the balances that it says are what the bot tells in an outage."""
        guard = await self._made()

        def call() -> Moved:
            began = time.monotonic()
            outcome = function(guard.guard.engine)
            if guard.guard.fleet is not None:
                guard.guard.fleet.note(*outcome.balances_now, since=began)
            return outcome

        return await guard.run(call, name=name)

    async def close(self) -> None:
        if self._guard is not None:
            await self._guard.close()

    async def _made(self) -> AsyncGuard:
        if self._guard is None:
            if self._settings.database_url is None:
                raise Problem(503, "not-configured", gettext("DATABASE_URL is not set for the frontend."))
            async with self._making:
                if self._guard is None:
                    self._guard = await asyncio.to_thread(_make, self._settings)
        return self._guard


def _make(settings: Settings) -> AsyncGuard:
    """In a thread: the ORM, which the guard can do, takes a quarter of a second to import."""
    from dbcore.guard.aio import AsyncGuard
    from dbcore.guard.guard import Guard

    bounded = settings.model_copy(
        update={"db_pool_size": KEPT_CONNECTIONS, "db_max_overflow": CONNECTIONS_MAX - KEPT_CONNECTIONS}
    )
    return AsyncGuard(Guard(bounded, application_name="ballast frontend"))
