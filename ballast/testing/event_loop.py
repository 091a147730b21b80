"""An event loop in a thread of its own.

What a person does is a plain call, so that nobody forgets an `await` and nothing happens. What one waits for is awaited
in the test's own event loop, whichever it is: each test may have another one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

ACT_SECONDS_MAX = 30.0


class EventLoop:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ballast-testing", daemon=True)
        self._thread.start()

    def run(self, act: Coroutine[Any, Any, T]) -> T:
        """Block until it is done: it takes milliseconds."""
        return asyncio.run_coroutine_threadsafe(act, self._loop).result(ACT_SECONDS_MAX)

    async def wait_for(self, what: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(what, self._loop))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
