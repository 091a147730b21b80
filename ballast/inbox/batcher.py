"""What arrives one by one is done together, as many as there are while those before are being done.

There is no timer: one alone is done at once, and under load each batch is what came during the last.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

BATCH_MAX = 100


class Batcher(Generic[T, R]):
    """All in one event loop; the work is done in a thread, one batch after the other."""

    def __init__(self, do_many: Callable[[Sequence[T]], Sequence[R]]) -> None:
        """do_many -- returns a result for each, in their order. What it raises, each of the batch raises."""
        self._do_many = do_many
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def do(self, one: T) -> R:
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            await self._do([self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))])

    async def _do(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        # Whoever waited may be gone by then, so a future may be done.
        try:
            results = await asyncio.to_thread(self._do_many, [one for one, _ in batch])
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001  raised where it is waited for
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
