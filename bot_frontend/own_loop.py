"""A part of the frontend in a thread with an event loop of its own, where it may wait for Redis in place."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvloop


async def run_in_own_loop(work: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> None:
    """Until it ends, and raise what it raises. Cancelled, it is cancelled there first, with all that it started.

    name -- of the thread.
    """
    loop = uvloop.new_event_loop()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(work())

    with ThreadPoolExecutor(1, thread_name_prefix=name) as thread:
        running = asyncio.get_running_loop().run_in_executor(thread, run)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            with contextlib.suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(_cancel_all, loop)
            await asyncio.wait([running])
            raise


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
