"""getUpdates: long polling, where the offset acknowledges and the last poller wins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from devstack.telegram.errors import conflict
from devstack.telegram.state.updates import Updates

TIMEOUT_SECONDS_MAX = 50
LIMIT_MAX = 100
# Telegram answers a poller that repeats its offset this fast with one update at a time.
REPEATED_OFFSET_SECONDS = 0.5

OTHER_POLLER = "terminated by other getUpdates request; make sure that only one bot instance is running"
WEBHOOK_SET = "terminated by setWebhook request"


class Poller:
    """The one long poll that may wait at a time."""

    def __init__(self, updates: Updates) -> None:
        self._updates = updates
        self._waiting: asyncio.Future[str | None] | None = None
        self._last_offset: int | None = None
        self._last_finished = float("-inf")

    def terminate(self, why: str | None) -> None:
        """Answer the poll that waits with a 409; with nothing when `why` is None, because the server stops."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(why)
        self._waiting = None

    def forget(self) -> None:
        """As if nobody had polled before."""
        self._last_offset = None

    async def poll(
        self, offset: int, limit: int, timeout_seconds: int, is_gone: Callable[[], bool]
    ) -> list[dict[str, Any]]:
        """Acknowledge below `offset`, then return pending updates, waiting for the first if there is none.

        `is_gone` says that the poller has hung up: nothing is handed out to it then.
        """
        self.terminate(OTHER_POLLER)
        if offset == self._last_offset and time.monotonic() - self._last_finished < REPEATED_OFFSET_SECONDS:
            limit = 1
        self._last_offset = offset
        if offset < 0:
            self._updates.keep_last(-offset)
            offset = 0
        elif offset > 0:
            self._updates.acknowledge_below(offset)
        terminated: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiting = terminated
        deadline = time.monotonic() + timeout_seconds
        try:
            while True:
                if terminated.done():
                    why = terminated.result()
                    if why is None:
                        return []
                    raise conflict(why)
                found = self._updates.pending(limit, offset)
                left = deadline - time.monotonic()
                if found or left <= 0:
                    break
                arrived = self._updates.arrived.next_ring()
                events: set[asyncio.Future[Any]] = {arrived, terminated}
                await asyncio.wait(events, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                arrived.cancel()
        finally:
            if self._waiting is terminated:
                self._waiting = None
        if is_gone():
            return []
        self._updates.hand_out(found)
        self._last_finished = time.monotonic()
        return [update.payload for update in found]
