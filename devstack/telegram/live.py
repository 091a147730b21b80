"""What happens, as it happens: wakes long polls and feeds the chat page."""

from __future__ import annotations

import asyncio
from typing import Any

Event = dict[str, Any]

# A page that is this far behind has gone to sleep; it reloads when it comes back.
SUBSCRIBER_BACKLOG_MAX = 1000


class ChangeNotifier:
    """Wakes everyone who waits for something to have changed."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    def next_ring(self) -> asyncio.Future[None]:
        """Done at the next ring, counted from this very call: no ring can fall in between.

        Cancel it when it is not awaited any more.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        return future

    async def wait(self, seconds: float) -> None:
        """Return at the next ring, or after `seconds`; look yourself which it was."""
        ring = self.next_ring()
        try:
            await asyncio.wait({ring}, timeout=max(0.0, seconds))
        finally:
            ring.cancel()


class Live:
    """The stream of events, one bounded queue for each listener."""

    def __init__(self) -> None:
        self.changed = ChangeNotifier()
        self._listeners: set[asyncio.Queue[Event | None]] = set()

    def listen(self) -> asyncio.Queue[Event | None]:
        """A queue of events; None says the listener fell behind, or the server stops."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._listeners.add(queue)
        return queue

    def forget(self, queue: asyncio.Queue[Event | None]) -> None:
        self._listeners.discard(queue)

    def tell(self, kind: str, **fields: Any) -> None:
        self.changed.ring()
        event = {"kind": kind, **fields}
        for queue in list(self._listeners):
            if queue.qsize() >= SUBSCRIBER_BACKLOG_MAX:
                queue.put_nowait(None)
                self._listeners.discard(queue)
            else:
                queue.put_nowait(event)

    def close(self) -> None:
        self.changed.ring()
        for queue in self._listeners:
            queue.put_nowait(None)
        self._listeners.clear()
