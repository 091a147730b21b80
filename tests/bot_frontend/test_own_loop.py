from __future__ import annotations

import asyncio
import threading
import time

import pytest

from bot_frontend.own_loop import run_in_own_loop


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("apart")]


async def test_what_it_runs_may_block_and_the_caller_goes_on() -> None:
    started, let_go, found = threading.Event(), threading.Event(), []

    async def work() -> None:
        found.append(threading.current_thread())
        started.set()
        assert let_go.wait(60)

    running = asyncio.create_task(run_in_own_loop(work, name="apart"))
    assert await asyncio.to_thread(started.wait, 60)
    assert found == threads()
    let_go.set()
    await running
    assert threads() == []


async def test_it_raises_what_its_work_raises() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        await run_in_own_loop(work, name="apart")
    assert threads() == []


@pytest.mark.parametrize("at_once", [True, False])
async def test_once_cancelled_it_ends_when_all_that_it_started_has_ended(*, at_once: bool) -> None:
    begun = threading.Barrier(3)
    ended: list[str] = []

    async def stay(name: str) -> None:
        await asyncio.to_thread(begun.wait, 60)
        try:
            await asyncio.sleep(3600)
        finally:
            time.sleep(0.05)  # noqa: ASYNC251  it takes its time
            ended.append(name)

    async def work() -> None:
        beside = asyncio.create_task(stay("beside"))
        await stay("work")
        await beside

    running = asyncio.create_task(run_in_own_loop(work, name="apart"))
    if at_once:
        await asyncio.sleep(0)
        begun.abort()
    else:
        await asyncio.to_thread(begun.wait, 60)
        await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(ended) == ([] if at_once else ["beside", "work"])
    assert threads() == []
