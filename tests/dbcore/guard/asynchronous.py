"""What the tests of AsyncGuard share."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import text

from dbcore import AsyncGuard, Tx
from dbcore.guard.threads import THREAD
from tests.dbcore.guard.conftest import DEBIT

WAIT_SECONDS_MAX = 30.0


def debit(tx: Tx) -> int:
    tx.session.execute(DEBIT)
    return int(tx.session.scalar(text("SELECT balance FROM bank_accounts WHERE id = 1")) or 0)


async def comes_true(condition: Callable[[], Any]) -> None:
    until = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < until, "did not come true"
        await asyncio.sleep(0.01)


def calls_under_way() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


async def cancelled(task: asyncio.Task[Any]) -> float:
    """Cancel it; the seconds until it raised CancelledError."""
    began = time.monotonic()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return time.monotonic() - began
    raise AssertionError("it was not cancelled")


@asynccontextmanager
async def all_threads_taken(guard: AsyncGuard) -> AsyncIterator[None]:
    """By code that waits for something of its own."""
    go_on = threading.Event()
    begun = threading.Semaphore(0)

    def waits() -> None:
        begun.release()
        assert go_on.wait(WAIT_SECONDS_MAX)

    calls = [asyncio.create_task(guard.run(waits)) for _ in range(guard.guard.connections_max)]
    for _ in calls:
        await asyncio.to_thread(begun.acquire)
    try:
        yield
    finally:
        go_on.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*calls)
